"""Where several networks look in the same images, and whether they look at the same (PIC, Section 5)."""
from collections.abc import Callable, Sequence
from typing import NamedTuple, Optional

import torch
from mmengine.model import BaseModel
from torch import Tensor
from torch.utils.data import DataLoader

from pic_plugin.functional.saliency import overlap, saliency_map
from pic_plugin.progress import Report, reported

Predict = Callable[[Sequence[Tensor]], Tensor]  # the backbone's maps -> classes [B]


class Saliency(NamedTuple):
    """Maps of M images."""
    maps: list[Tensor]  # [M, H, W] of each network
    sample_ids: Tensor  # [M] int64 on the CPU, of the data set
    correct: Optional[Tensor]  # [M] bool, whether the first network's prediction is the label


class Curve(NamedTuple):
    """Accuracy of groups of images."""
    overlap: Tensor  # [G], mean of each group
    accuracy: Tensor  # [G]
    error: Tensor  # [G], standard error of the accuracy


@torch.no_grad()
def saliency_of(models: Sequence[BaseModel], loader: DataLoader, predict: Optional[Predict] = None,
                report: Optional[Report] = None) -> Saliency:
    """The saliency maps of the networks' last stage.  The networks are left in the mode that they were in.

    Args:
        models: each with ``data_preprocessor`` and ``backbone``.
        loader: gives ``inputs`` and ``data_samples`` with ``sample_idx``, and ``gt_label`` if there is ``predict``.
        predict: what the first network takes the images for, from its backbone's output.
        report: is told, every half minute, how far it is and how long the rest will take.

    Raises:
        ValueError: if a backbone gives no map, or the loader is empty.
    """
    training = [model.training for model in models]
    maps: list[list[Tensor]] = [[] for _ in models]
    sample_ids, correct = [], []
    for model in models:
        model.eval()
    for batch in reported(loader, 'batches of saliency maps', report):
        sample_ids += [sample.sample_idx for sample in batch['data_samples']]  # before they are moved to the device
        labels = torch.tensor([int(sample.gt_label) for sample in batch['data_samples']] if predict else [])
        for i, model in enumerate(models):
            stages, places = look_at(model, batch)
            maps[i].append(places)
            if predict and not i:
                correct.append(predict(stages) == labels.to(places.device, non_blocking=True))
    for model, was_training in zip(models, training):
        model.train(was_training)
    if not sample_ids:
        raise ValueError('the loader must give at least one image to look at, and is empty')
    return Saliency([torch.cat(parts) for parts in maps], torch.tensor(sample_ids),
                    torch.cat(correct) if predict else None)


def look_at(model: BaseModel, batch: dict) -> tuple[Sequence[Tensor], Tensor]:
    """What the stages of a network's backbone give, and the saliency maps ``[B, H, W]`` of the last one.

    Args:
        model: with ``data_preprocessor`` and ``backbone``.
        batch: ``inputs`` and ``data_samples``, which may be None.

    Raises:
        ValueError: if the backbone gives no map.
    """
    stages = model.backbone(model.data_preprocessor(batch)['inputs'])
    return stages, saliency_map(_last_map(stages, model))


def _last_map(stages: Sequence[Tensor], model: BaseModel) -> Tensor:
    last = stages[-1] if isinstance(stages, (list, tuple)) else stages
    if not isinstance(last, Tensor) or last.ndim != 4:
        given = f'{list(last.shape)}' if isinstance(last, Tensor) else type(last).__name__
        raise ValueError(f'a saliency map needs a feature map [B, C, H, W] of the last stage, and '
                         f'{type(model.backbone).__name__} gives {given}; of mmpretrain\'s transformers '
                         "backbone.out_type='featmap' gives one")
    return last


def baselines(maps: Tensor, others: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """How far maps overlap that have nothing to do with each other.

    PIC's Section 5 gives 0.140 for random maps and does not say how they are drawn; maps of uniform numbers overlap by
    far more.  What all images have in common, the centre say, shows in the overlap with the map of another image.

    Args:
        maps: ``[M, H, W]``, of one network.
        others: ``[M, H, W]``, of the other network in the same images.
        seed: of the random maps, and of which image goes with which.

    Returns:
        dict: with what -> overlaps ``[M]``.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(maps), generator=generator).to(maps.device)
    random = torch.rand(maps.shape, generator=generator).to(maps)
    unrelated = torch.empty_like(others)
    unrelated[order] = others[order.roll(1)]  # a cycle: no image goes with itself
    return {'the same of another image': overlap(maps, unrelated),
            'random numbers': overlap(maps, saliency_map(random[:, None]))}


def accuracy_by_overlap(overlaps: Tensor, correct: Tensor, num_groups: int = 8) -> Curve:
    """Accuracy against overlap: PIC's figure has bins of equal width, these are of equally many images.

    Args:
        overlaps: ``[M]``.
        correct: ``[M]`` bool.
        num_groups: G; fewer if there are fewer images.
    """
    order = overlaps.argsort(stable=True)
    groups = [group for group in order.tensor_split(num_groups) if len(group)]
    accuracy = torch.stack([correct[group].double().mean() for group in groups])
    size = torch.tensor([len(group) for group in groups], device=accuracy.device)
    return Curve(torch.stack([overlaps[group].double().mean() for group in groups]), accuracy,
                 (accuracy * (1 - accuracy) / size).sqrt())
