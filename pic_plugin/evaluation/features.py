"""Features of a labelled data set."""
from collections.abc import Sequence
from typing import Optional, Union

import torch
from mmengine.model import BaseModel
from torch import Tensor
from torch.utils.data import DataLoader

from pic_plugin.progress import Report, reported


def pooled(out: Union[Tensor, Sequence[Tensor]]) -> Tensor:
    """What a backbone gives as ``[B, C]``: of several stages the last, of a map the average over the places."""
    out = out if isinstance(out, Tensor) else out[-1]
    return out.float().flatten(2).mean(2) if out.ndim > 2 else out


@torch.no_grad()
def extract_features(model: BaseModel, loader: DataLoader, report: Optional[Report] = None) -> tuple[Tensor, Tensor]:
    """What the backbone makes of each image: the last stage's map, averaged over the places.

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
        out = pooled(model(model.data_preprocessor(batch)['inputs'], mode='tensor'))
        if features is None:  # a bank fills gigabytes: it is never there twice
            num_images = len(loader.sampler)  # type: ignore[arg-type]
            features = out.new_empty(num_images, out.shape[1], dtype=torch.float32)
        features[start:len(labels)] = out
    model.train(was_training)
    if features is None:
        raise ValueError('the loader must give at least one image to extract features of, and is empty')
    return features[:len(labels)], torch.tensor(labels, device=features.device)
