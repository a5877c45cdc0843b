"""The health of a training, without labels: how much is forgotten between two visits, and what is wrong."""
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_COLLAPSED_RANK = 2.0  # directions; features of fewer tell nothing apart
_NUM_VISITS = 5.0  # of each image, by which something must have been learnt
_LEARNT_LOSS = 0.99  # of log K, the loss of guessing among K classes


class Measured(NamedTuple):
    """What was measured in an epoch."""
    num_samples: int
    num_hits: int  # samples whose own row was the nearest
    loss: float  # mean over the samples
    num_classes: int  # K, that were active
    num_visits: float  # per image, so far
    ranks: dict[str, float]  # effective rank, of 'backbone' and 'projected' features


def loss_by_distance(losses: Tensor, distances: Tensor, edges: Sequence[int]) -> dict[str, float]:
    """The mean loss of samples whose last visit is about as long ago.

    "Further away from the last meeting of this instance, easier to be forgotten, the greater the loss" (the authors'
    talk on PIC; their Figure 3).

    Args:
        losses: ``[P]``.
        distances: ``[P]`` int64, how many samples ago each was visited last; 0 or less for never.
        edges: rising; each is the largest distance of its samples.

    Returns:
        dict: ``within_EDGE``, ``beyond_EDGE`` for those past the last edge, ``first_visit``; without empty ones.
    """
    names = ['first_visit', *(f'within_{edge}' for edge in edges), f'beyond_{edges[-1]}']
    bins = torch.bucketize(distances, torch.tensor([0, *edges]))
    return {name: float(losses[bins == i].mean()) for i, name in enumerate(names) if (bins == i).any()}


def faults(measured: Measured) -> dict[str, str]:
    """What is wrong, in words, with what to do; by kinds of faults."""
    found = {}
    for name, rank in measured.ranks.items():
        if rank < _COLLAPSED_RANK and measured.num_visits >= _NUM_VISITS:
            found[f'rank_{name}'] = (
                f'the {name} features have collapsed: their effective rank is {rank:.2f} after '
                f'{measured.num_visits:.1f} visits of each image, so all images look alike to the network.  Lower the '
                'learning rate or lengthen its warm-up, give the neck BatchNorm (norm_cfg), and see that '
                "data_preprocessor's mean and std are those of the images")
    num_classes, share = measured.num_classes, measured.num_hits / measured.num_samples
    by_chance = measured.num_samples / num_classes
    at_chance = measured.num_hits <= by_chance + 3 * math.sqrt(by_chance) + 1
    if at_chance and num_classes > 1 and measured.num_visits >= _NUM_VISITS:
        guessing = math.log(num_classes)
        also = ('' if measured.loss < _LEARNT_LOSS * guessing else
                f', and the loss is {measured.loss:.2f} where guessing has log {num_classes} = {guessing:.2f}')
        found['instance_top1'] = (
            f'nothing is learnt yet: after {measured.num_visits:.1f} visits of each image its own row is the nearest '
            f'for {100 * share:.2f} % of the samples, and by chance it would be for {100 / num_classes:.2f} %{also}.  '
            'Change the learning rate (a few times lower, then higher), make the augmentations weaker, or the window '
            'smaller, so that an image comes again before it is forgotten')
    return found
