"""Instance accuracy: whether a sample's own row is the nearest, with rows shared out over the ranks."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from pic_plugin.functional.nearest_rows import nearest_rows

from .ranks import Ranks


def own_row_is_nearest(features: Tensor, weight: Tensor, slots: Tensor, active: Optional[Tensor],
                       ranks: Ranks) -> Tensor:
    """Top-1 of the instances: whether no other active row has as large a cosine to a sample as its own.

    Args:
        features: ``[M, D]``, of any length, the same on every rank.
        weight: ``[S_r, D]``, this rank's rows, of any length.
        slots: ``[M]`` int64, the row of each sample, -1 where it is another rank's.
        active: ``[S_r]`` bool, the rows that count; None for all.
        ranks: the ranks.

    Returns:
        Tensor: ``[M]`` bool, the same on every rank.  Collectives: one all-reduce of ``[2, M]``.
    """
    other = nearest_rows(features, weight, 1, slots, active)[0][:, 0]
    own = F.cosine_similarity(features, weight[slots.clamp(min=0)], dim=1).masked_fill(slots < 0, -torch.inf)
    own, other = ranks.max_(torch.stack([own, other]))
    return own > other
