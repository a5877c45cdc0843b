"""Only the recent classes are active: their rows sit in slots, the others in the table."""
import math
from collections.abc import Iterable, Iterator
from typing import Any, Optional

import torch
from torch import Tensor, nn

from pic_plugin.functional.recent import RecentClasses

from .state import RowOptimizer, RowState, replace_data_
from .table import RowTable

_GROWTH = 1.25


class RecentRows:
    """The rows of the K recent classes that this rank owns, in the slots of a parameter.

    Every rank keeps the same :class:`RecentClasses`, and of its K ids the rows that are in its own block: K / R on
    average, more or less by chance, which is why there are more slots than that, and more still when they run out.
    What an iteration costs is the rows that come (read from the table, caught up) and go (written to it).

    A row that leaves while a gradient is waiting to be applied (gradient accumulation) stays in its slot, out of the
    softmax, until the optimizer has stepped.

    Args:
        weight: parameter whose data becomes ``[S, D]``; its dtype, device and D stay.
        optimizer: of that parameter.
        table: of this rank's rows.
        num_ranks: R.
        capacity: K, over all ranks.
        weight_correction: whether a row that comes back is brought up to date; without, it is as it was when it left
            (PIC's Table 2).

    Attributes:
        ids (Tensor): ``[S]`` int64, the id in each slot, -1 where it is empty.
        active (Tensor, optional): ``[S]`` bool on the parameter's device, the slots that take part in the softmax;
            None while all do.
    """

    active: Optional[Tensor]
    ids: Tensor
    _free: Tensor  # int64, the empty local slots
    _waiting: Tensor  # int64, local slots of rows that left, until the optimizer has stepped
    _local_slot: Tensor  # [K] int64, the local slot of each of RecentClasses' slots, -1 where it is another rank's

    def __init__(self, weight: nn.Parameter, optimizer: RowOptimizer, table: RowTable, num_ranks: int,
                 capacity: int, weight_correction: bool = True) -> None:
        self.weight_correction = weight_correction
        self.weight, self.optimizer, self.table, self.block = weight, optimizer, table, table.block
        self.recent = RecentClasses(capacity)
        spread = 0 if num_ranks == 1 else 4 * math.sqrt(capacity / num_ranks)  # four standard deviations of a share
        self._min_slots = max(1, min(math.ceil(capacity / num_ranks + spread), len(self.block)))
        self._fill()

    def activate(self, ids: Tensor) -> None:
        """Make ``ids[M]`` (all ranks', from the earliest to the latest) the most recent classes.

        Raises:
            ValueError: from :meth:`RecentClasses.visit`; nothing has changed then.
        """
        change = self.recent.visit(ids)
        mine = self.block.contains(change.left_ids)
        self._waiting = torch.cat([self._waiting, self._local_slot[change.left_slots[mine]]])
        self._local_slot[change.left_slots] = -1
        mine = self.block.contains(change.arrived_ids)
        slots = change.arrived_slots[mine]
        arrived_ids = self._resume_waiting(change.arrived_ids[mine], slots)
        rows = self._up_to_date(arrived_ids)  # read first: a table on disk is written to while the step goes on
        if self.weight.grad is None:  # the last gradient has been applied
            self._write_back(self._waiting)
            self._release(self._waiting)
            self._waiting = self._waiting[:0]
        self._bring_in(arrived_ids, slots[self._local_slot[slots] < 0], rows)
        self._set_active()

    def slots(self, ids: Tensor) -> Tensor:
        """This rank's slot of each of ``ids[M]``, -1 for an id that is another rank's or not active."""
        slots = self.recent.slots(ids)
        return torch.where(slots >= 0, self._local_slot[slots], -1)

    def prefetch(self, ids: Tensor) -> None:
        """Told that ``ids[M]`` will be made active soon."""
        self.table.prefetch(ids[self.block.contains(ids) & (self.slots(ids) < 0)])

    def start_at(self, ids: Tensor, weight: Tensor) -> None:
        """Give the rows ``ids[M]`` of the block the initial value ``weight[M, D]``; before the first step."""
        weight = weight.to('cpu', self.weight.dtype)
        self.table.write(ids, RowState(weight, torch.zeros_like(weight), torch.zeros_like(ids)))

    def present(self) -> RowState:
        """Copies of the block's rows as they are now, in host memory."""
        self._write_back(self._occupied())
        return self._up_to_date(torch.arange(self.block.start, self.block.stop))

    def settle(self) -> dict[str, Any]:
        """Write all rows to the table, for a checkpoint; returns what else it holds, the same on every rank.

        The rows are put into the order of the recent classes, here as after loading: where they sat before is no part
        of the checkpoint, and still the run that goes on and the one that resumes add up the same numbers in the same
        order.
        """
        self._write_back(self._occupied())
        self._fill()
        return {'seed': self.table.seed, 'recent': self.recent.state_dict()}

    def changed_ids(self, since: int) -> Iterator[Tensor]:
        """See :meth:`RowTable.changed_ids`; after :meth:`settle`."""
        return self.table.changed_ids(since)

    def read(self, ids: Tensor) -> RowState:
        """The rows ``ids[M]`` of the block, as the table has them."""
        return self.table.read(ids)

    def restore(self, pieces: Iterable[tuple[Tensor, RowState]], shared: dict[str, Any]) -> None:
        """Take over what a checkpoint holds, into rows that were just allocated.

        Args:
            pieces: ids and rows, in any order; of an id that comes more than once the last one counts.
            shared: what :meth:`settle` gave.

        Raises:
            ValueError: if the checkpoint has another number of recent classes.
        """
        if shared['recent'] is None:
            raise ValueError(f'the checkpoint is of training with all classes, expected {self.recent.capacity} recent '
                             'ones: num_negatives must be the one the run was started with')
        self.recent.load_state_dict(shared['recent'])
        self.table.seed = shared['seed']
        for ids, rows in pieces:
            self.table.write(ids, rows)
        self._fill()

    def _fill(self) -> None:
        """Lay out the slots anew: this rank's recent rows, in the order of their global slots."""
        mine = (self.block.contains(self.recent.ids) & (self.recent.ids >= 0)).nonzero()[:, 0]
        num_slots = self._min_slots
        while num_slots < len(mine):
            num_slots = math.ceil(num_slots * _GROWTH)
        replace_data_(self.weight, self.weight.data.new_zeros(num_slots, self.weight.shape[1]))
        self.optimizer.row_momentum = torch.zeros_like(self.weight.data)
        self.ids = torch.full((num_slots, ), -1, dtype=torch.int64)
        self._free = torch.arange(num_slots)
        self._waiting = torch.empty(0, dtype=torch.int64)
        self._local_slot = torch.full((self.recent.capacity, ), -1, dtype=torch.int64)
        ids = self.recent.ids[mine]
        self._bring_in(ids, mine, self._up_to_date(ids))
        self._set_active()

    def _up_to_date(self, ids: Tensor) -> RowState:
        rows = self.table.read(ids)
        return rows.catch_up_(self.optimizer.step_log) if self.weight_correction else rows

    def _bring_in(self, ids: Tensor, slots: Tensor, rows: RowState) -> None:
        """Put rows into free local slots."""
        while len(ids) > len(self._free):
            self._grow()
        local, self._free = self._free[:len(ids)], self._free[len(ids):]
        on_device = local.to(self.weight.device)
        self.weight.data.index_copy_(0, on_device, rows.weight.to(self.weight.device))
        self.optimizer.row_momentum.index_copy_(0, on_device, rows.momentum.to(self.weight.device))
        self.ids[local] = ids
        self._local_slot[slots] = local

    def _resume_waiting(self, ids: Tensor, slots: Tensor) -> Tensor:
        """Put arrivals that are still waiting in a local slot back to work there; returns the other ids."""
        match = ids[:, None] == self.ids[self._waiting]
        back, where = match.nonzero(as_tuple=True)
        self._local_slot[slots[back]] = self._waiting[where]
        self._waiting = self._waiting[~match.any(0)]
        return ids[~match.any(1)]

    def _write_back(self, local: Tensor) -> None:
        on_device = local.to(self.weight.device)
        weight = self.weight.detach()[on_device].cpu()
        momentum = self.optimizer.row_momentum[on_device].cpu()
        clock = torch.full((len(local), ), len(self.optimizer.step_log), dtype=torch.int64)
        self.table.write(self.ids[local], RowState(weight, momentum, clock))

    def _release(self, local: Tensor) -> None:
        """Empty local slots: an empty slot holds zeros, which decay and momentum leave as they are."""
        on_device = local.to(self.weight.device)
        self.weight.data.index_fill_(0, on_device, 0)
        self.optimizer.row_momentum.index_fill_(0, on_device, 0)
        self.ids[local] = -1
        self._free = torch.cat([self._free, local])

    def _grow(self) -> None:
        old = len(self.ids)
        extra = math.ceil(old * _GROWTH) - old

        def longer(tensor: Tensor, value: float = 0) -> Tensor:
            return torch.cat([tensor, tensor.new_full((extra, *tensor.shape[1:]), value)])

        grad = self.weight.grad
        replace_data_(self.weight, longer(self.weight.data))
        self.weight.grad = None if grad is None else longer(grad)
        self.optimizer.row_momentum = longer(self.optimizer.row_momentum)
        self.ids = longer(self.ids, -1)
        self._free = torch.cat([self._free, torch.arange(old, old + extra)])

    def _occupied(self) -> Tensor:
        return (self.ids >= 0).nonzero()[:, 0]

    def _set_active(self) -> None:
        if not len(self._free) and not len(self._waiting):
            self.active = None
            return
        active = self.ids >= 0
        active[self._waiting] = False
        self.active = active.to(self.weight.device)
