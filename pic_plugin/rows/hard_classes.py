"""Which classes are hardest to tell from a sample's own (One-Million-Way, Smoothing Labels of Hardest Classes)."""
from typing import Optional, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from pic_plugin.progress import Report, reported
from pic_plugin.sharding import Ranks, block_of, nearest_rows_of_all_ranks

from .all_rows import AllRows
from .recent_rows import RecentRows

_QUERIES = 2048  # over all ranks, that are compared with the rows at once


class HardestOfAll:
    """Where all classes are active: found for every row at once, as often as :meth:`find` is called.

    Each rank keeps the lists of its own rows, 4 K bytes a row, in host memory.

    Args:
        rows: of this rank.
        ranks: the ranks.
        num_classes: K, how many classes are found for each.
        num_instances: N.
    """

    def __init__(self, rows: AllRows, ranks: Ranks, num_classes: int, num_instances: int) -> None:
        self.rows, self.ranks, self.num_classes, self.num_instances = rows, ranks, num_classes, num_instances
        self._lists: Optional[Tensor] = None  # [n_r, K] int32

    def find(self, report: Optional[Report] = None) -> None:
        """Find the hardest classes of every row, as the rows are now.  Collective.

        Args:
            report: is told how far it is.
        """
        rows, ranks = self.rows, self.ranks
        weight, ids = rows.weight.detach(), rows.ids
        on_device = ids.to(weight.device)
        size = -(-_QUERIES // ranks.size)  # queries of each rank
        lists = torch.empty(len(rows.block), self.num_classes, dtype=torch.int32)
        share = len(block_of(0, self.num_instances, ranks.size))  # no rank has more: all go round as often
        for start in reported(range(0, share, size), 'rounds of hardest classes', report):
            mine = slice(min(start, len(rows.block)), min(start + size, len(rows.block)))
            count = mine.stop - mine.start
            queries = ranks.all_gather(F.pad(weight[mine], (0, 0, 0, size - count)))
            own = rows.slots(ranks.all_gather(F.pad(ids[mine], (0, size - count), value=-1)))
            _, found = nearest_rows_of_all_ranks(queries, weight, on_device, self.num_classes, ranks,
                                                 own.to(weight.device), rows.active)
            lists[mine] = found[:count].cpu().int()
        self._lists = lists

    def of_batch(self, ids: Tensor) -> Tensor:
        """The hardest classes of ``ids[R, B]``, on the CPU, of all ranks' samples: ``[R, B, K]`` int64.  Collective.

        Raises:
            RuntimeError: before :meth:`find`.
        """
        if self._lists is None:
            raise RuntimeError('the hardest classes are not known yet: CosineInstanceHead.find_hard_classes must be '
                               "called before the first iteration; add dict(type='InstanceRowsHook') to custom_hooks")
        slots = self.rows.slots(ids)
        lists = self._lists.new_zeros(*ids.shape, self.num_classes)
        lists[slots >= 0] = self._lists[slots[slots >= 0]]
        return self.ranks.sum_(lists).long()  # one rank has each id's


class HardestOfActive:
    """Where the recent classes are active: found for each batch, among the classes that are active then.

    Args:
        rows: of this rank.
        ranks: the ranks.
        num_classes: K, how many classes are found for each.
    """

    def __init__(self, rows: RecentRows, ranks: Ranks, num_classes: int) -> None:
        self.rows, self.ranks, self.num_classes = rows, ranks, num_classes

    def find(self, report: Optional[Report] = None) -> None:
        """Nothing to do: they are found for each batch."""

    def of_batch(self, ids: Tensor) -> Tensor:
        """The hardest classes of ``ids[R, B]``, on the CPU, of all ranks' samples: ``[R, B, K]`` int64.  Collective.

        -1 while fewer classes are active.
        """
        rows, ranks = self.rows, self.ranks
        weight = rows.weight.detach()
        own = rows.slots(ids).to(weight.device)
        queries = ranks.sum_(weight[own.clamp(min=0)].masked_fill_((own < 0)[..., None], 0))  # one rank has each id's
        _, found = nearest_rows_of_all_ranks(queries, weight, rows.ids.to(weight.device), self.num_classes, ranks, own,
                                             rows.active)
        return ranks.all_gather(found).cpu()


HardClasses = Union[HardestOfAll, HardestOfActive]
