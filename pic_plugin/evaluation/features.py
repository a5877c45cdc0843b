"""Features of a labelled data set."""
from collections.abc import Sequence
from typing import Optional, Union

import torch
from mmengine.model import BaseModel
from torch import Tensor
from torch.utils.data import DataLoader

from pic_plugin.progress import Report, reported


@torch.no_grad()
def extract_features(model: BaseModel, loader: DataLoader, report: Optional[Report] = None) -> tuple[Tensor, Tensor]:
    """Compute the backbone's feature of each image: the last stage's map, averaged over the places.

    The model is left in the mode (training or not) that it was in.

    Args:
        model: with ``data_preprocessor`` and mmpretrain's ``mode='tensor'``.
        loader: gives ``inputs`` and ``data_samples`` with ``gt_label``.
        report: is told, every half minute, how far it is and how long the rest will take.

    Returns:
        tuple: features ``[M, C]`` float32, and labels ``[M]`` int64, both on the model's device.

    Raises:
        ValueError: if the loader is empty.
    """
    was_training = model.training
    model.eval()
    features: Optional[Tensor] = None
    labels: list[int] = []
    for batch in reported(loader, 'batches of features', report):
        start = len(labels)
        labels += [int(sample.gt_label) for sample in batch['data_samples']]  # before they are moved to the device
        out = features_of(model, batch)
        if features is None:  # a bank fills gigabytes: it is never there twice
            num_images = len(loader.sampler)  # type: ignore[arg-type]
            features = out.new_empty(num_images, out.shape[1])
        features[start:len(labels)] = out
    model.train(was_training)
    if features is None:
        raise ValueError('the loader must give at least one image to extract features of, and is empty')
    return features[:len(labels)], torch.tensor(labels, device=features.device)


def features_of(model: BaseModel, batch: dict) -> Tensor:
    """``[B, C]`` float32, of a batch as a loader gives it: ``inputs`` and ``data_samples``, which may be None."""
    return pooled_features(model(model.data_preprocessor(batch)['inputs'], mode='tensor'))


def pooled_features(out: Union[Tensor, Sequence[Tensor]]) -> Tensor:
    """``[B, C]`` float32: a backbone's last map ``[B, C, H, W]`` averaged over the places, or its vectors ``[B, C]``.

    Args:
        out: what the backbone gave, for one stage or several.

    Raises:
        ValueError: if it is neither.
    """
    last = out[-1] if isinstance(out, (list, tuple)) else out
    if not isinstance(last, Tensor) or last.ndim not in (2, 4):
        shape = tuple(last.shape) if isinstance(last, Tensor) else type(last).__name__
        raise ValueError(f'the backbone must give a map [B, C, H, W] or vectors [B, C] of each image, got {shape}; of '
                         "a transformer set out_type='cls_token' or 'avg_featmap'")
    return last.float().flatten(2).mean(2) if last.ndim == 4 else last.float()
