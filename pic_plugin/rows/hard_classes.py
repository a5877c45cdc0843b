"""Which classes are hardest to tell from a sample's own (One-Million-Way, Smoothing Labels of Hardest Classes)."""
from typing import Optional, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from pic_plugin.progress import Report, reported
from pic_plugin.sharding import Ranks, block_of, nearest_rows_of_all_ranks

from .all_rows import AllRows
from .recent_rows import RecentRows

_QUERIES = 2048  # over all ranks, that are compared with the rows at once
_SLOT_BITS = 40  # of a number that names a rank and a slot of it


class HardClasses(Protocol):
    """The K classes that are hardest to tell from a row's own."""

    def find(self, report: Optional[Report] = None) -> None:
        """Find those of every row, as the rows are now, if they are not found for each batch.  Collective.

        Args:
            report: is told how far it is.
        """

    def of_batch(self, slots: Tensor) -> Tensor:
        """The hardest classes of a batch of all ranks' samples, on the device.  Collective.

        Args:
            slots: ``[R, B]`` int64, where this rank has the rows of the samples' own classes, -1 where it has not.

        Returns:
            Tensor: ``[R, B, K]`` int64, this rank's slots of their hardest classes, -1 for other ranks', and while
            there are fewer.
        """


class HardestOfAll:
    """Where all classes are active: found for every row at once, as often as :meth:`find` is called.

    Each rank keeps the lists of its own rows, 4 K bytes a row, on the device.

    Args:
        rows: of this rank.
        ranks: the ranks.
        num_classes: K, how many classes are found for each.
        num_instances: N.
    """

    def __init__(self, rows: AllRows, ranks: Ranks, num_classes: int, num_instances: int) -> None:
        self.rows, self.ranks, self.num_classes, self.num_instances = rows, ranks, num_classes, num_instances
        self._lists: Optional[Tensor] = None  # [S, K] int32, ids

    def find(self, report: Optional[Report] = None) -> None:
        """See :meth:`HardClasses.find`."""
        rows, ranks = self.rows, self.ranks
        weight = rows.weight.detach()
        slots = torch.arange(len(weight), device=weight.device)
        ids = slots + rows.block.start
        size = -(-_QUERIES // ranks.size)  # queries of each rank
        lists = torch.zeros(len(weight), self.num_classes, dtype=torch.int32, device=weight.device)
        share = len(block_of(0, self.num_instances, ranks.size))  # no rank has more: all go round as often
        for start in reported(range(0, share, size), 'rounds of hardest classes', report):
            count = min(max(len(rows.block) - start, 0), size)
            mine = slice(start, start + count)
            queries = ranks.all_gather(F.pad(weight[mine], (0, 0, 0, size - count)))
            own = slots.new_full((ranks.size, size), -1)  # other ranks' queries are not among this rank's rows
            own[ranks.rank, :count] = slots[mine]
            _, found = nearest_rows_of_all_ranks(queries, weight, ids, self.num_classes, ranks, own, rows.active)
            lists[mine] = found[:count].int()
        self._lists = lists

    def of_batch(self, slots: Tensor) -> Tensor:
        """See :meth:`HardClasses.of_batch`.

        Raises:
            RuntimeError: before :meth:`find`.
        """
        if self._lists is None:
            raise RuntimeError('the hardest classes are not known yet: CosineInstanceHead.find_hard_classes must be '
                               "called before the first iteration; add dict(type='InstanceRowsHook') to custom_hooks")
        lists = self._lists[slots.clamp(min=0)].masked_fill_((slots < 0)[..., None], 0)
        return self.rows.slots(self.ranks.sum_(lists).long())  # one rank has each sample's


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

    def of_batch(self, slots: Tensor) -> Tensor:
        """See :meth:`HardClasses.of_batch`."""
        rows, ranks = self.rows, self.ranks
        weight = rows.weight.detach()
        queries = weight[slots.clamp(min=0)].masked_fill_((slots < 0)[..., None], 0)
        queries = ranks.sum_(queries)  # one rank has each sample's row
        places = torch.arange(len(weight), device=weight.device) + (ranks.rank << _SLOT_BITS)
        _, found = nearest_rows_of_all_ranks(queries, weight, places, self.num_classes, ranks, slots, rows.active)
        found = ranks.all_gather(found)
        here = (found >> _SLOT_BITS) == ranks.rank  # -1 is no rank's
        return torch.where(here, found & ((1 << _SLOT_BITS) - 1), -1)
