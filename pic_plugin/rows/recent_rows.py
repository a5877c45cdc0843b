"""Only the recent classes are active: their rows sit in slots, the others in the table."""
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pic_plugin.functional.recent import RecentClasses
from pic_plugin.functional.weight_correction import correct_
from pic_plugin.sharding import Ranks

from .state import ActiveBatch, RowOptimizer, RowState, no_check, replace_data_
from .table import RowTable
from .transfer import Posted, Sent, Transfers

_GROWTH = 1.25


class _Fetched(NamedTuple):
    """Rows that were read from the table and sent to the device, as they were written."""
    ids: Tensor  # [F] int64, rising
    clock: Tensor  # [F] int64
    records: Sent  # [F, 2, D]: weight and momentum


class _Left(NamedTuple):
    """Rows that have left their slots, on their way to the table."""
    ids: Tensor  # [E] int64
    records: Posted  # [E, 2, D]
    num_steps: int  # of the optimizer, that they include


class _Moves(NamedTuple):
    """Which rows go and come, and where."""
    leaving: Tensor  # [E] int64, the slots that they leave
    left_ids: Tensor  # [E] int64
    arriving_ids: Tensor  # [A] int64
    arriving: Tensor  # [A] int64, the slots that they take
    emptied: Tensor  # int64, the slots that nobody takes


class RecentRows:
    """The rows of the K recent classes that this rank owns, in the slots of a parameter; see :class:`Rows`.

    Every rank keeps the same :class:`RecentClasses`, and of its K ids the rows that are in its own block: K / R on
    average, more or less by chance, which is why there are more slots than that, and more still when they run out.
    What an iteration costs is the rows that come (read from the table, caught up) and go (written to it).

    Nobody waits for either.  While the device makes a step, a thread writes the rows to the table that left before it,
    as soon as they have arrived on the host, and then reads and sends those that come after it.  What these missed is
    made good on the device when they are put into their slots.  What nobody said would come is read when it comes.

    A row that leaves while a gradient is waiting to be applied (gradient accumulation) stays in its slot, out of the
    softmax, until the optimizer has stepped.

    Numbers are added up in the order of the slots, so a checkpoint notes which row is in which, and changes nothing
    there.  All else about them follows from that: an arrival takes the first slot that is empty.

    Args:
        weight: parameter whose data becomes ``[S, D]``; its dtype, device and D stay.
        optimizer: of that parameter.
        table: of this rank's rows.
        ranks: the ranks.
        capacity: K, over all ranks.
        weight_correction: whether a row that comes back is brought up to date; without, it is as it was when it left
            (PIC's Table 2).

    Attributes:
        ids (Tensor): ``[S]`` int64, the id in each slot, -1 where it is empty.
    """

    active: Optional[Tensor]
    ids: Tensor
    _free: Tensor  # int64, the empty local slots, rising
    _waiting: Tensor  # int64, local slots of rows that left, until the optimizer has stepped; in any order
    _local_slot: Tensor  # [K] int64, the local slot of each of RecentClasses' slots, -1 where it is another rank's

    def __init__(self, weight: nn.Parameter, optimizer: RowOptimizer, table: RowTable, ranks: Ranks,
                 capacity: int, weight_correction: bool = True) -> None:
        self.weight_correction, self.ranks = weight_correction, ranks
        self.weight, self.optimizer, self.table, self.block = weight, optimizer, table, table.block
        self.recent = RecentClasses(capacity)
        share = capacity / ranks.size
        spread = 0 if ranks.size == 1 else 4 * math.sqrt(share)  # four standard deviations of it
        self._min_slots = max(1, min(math.ceil(share + spread), len(self.block)))
        self._transfers = Transfers(weight.device)
        self._thread = ThreadPoolExecutor(1, 'RecentRows', self._transfers.use_in_this_thread)
        self._ahead: Optional[Future[Optional[_Fetched]]] = None  # what the thread is doing
        self._lay_out(self._in_order(torch.empty(0, dtype=torch.int64)))

    def activate(self, ids: Tensor, upcoming: Optional[Tensor] = None,
                 check: Callable[[], None] = no_check) -> ActiveBatch:
        """Make the classes of a batch the most recent ones; see :meth:`Rows.activate`."""
        fetched = self.finish()  # the thread's work of the last step: rows that left are in the table from here on
        change = self.recent.visit(ids[ids >= 0])
        # every rank works out the same change, and acts on the rows of its own block
        vacated = self._local_slot[change.left_slots]
        self._local_slot[change.left_slots] = -1
        # who leaves waits first: while a gradient is not applied, it keeps its slot and is out of the softmax
        self._waiting = torch.cat([self._waiting, vacated[vacated >= 0]])
        mine = self.block.contains(change.arrived_ids)
        arriving, slots = self._resume_waiting(change.arrived_ids[mine], change.arrived_slots[mine])
        leaving = self._waiting[:0]
        if self.weight.grad is None:  # the last gradient has been applied
            leaving, self._waiting = self._waiting, leaving
        moves = self._take_slots(leaving, arriving, slots)
        left, (batch_slots, readable) = self._exchange(moves, fetched, [self.slots(ids), ids >= 0])
        # what the next batch will want and is not here; it is read while the device works on this one
        coming = ids.new_empty(0) if upcoming is None else upcoming[self.block.contains(upcoming)]
        coming = coming[self.slots(coming) < 0].unique()
        self._ahead = self._thread.submit(self._write_and_fetch, left, check, coming)
        return ActiveBatch(batch_slots, readable)

    def slots(self, ids: Tensor) -> Tensor:
        """This rank's slot of each of ``ids``, on the CPU; -1 for an id that is another rank's or not active."""
        slots = self.recent.slots(ids)
        return torch.where(slots >= 0, self._local_slot[slots], -1)

    def start_at(self, ids: Tensor, weight: Tensor) -> None:
        """See :meth:`Rows.start_at`."""
        self.finish()
        weight = weight.to('cpu', self.weight.dtype)
        self.table.write(ids, RowState(weight, torch.zeros_like(weight), torch.zeros_like(ids)))

    def present(self) -> RowState:
        """Copies of the block's rows as they are now, in host memory."""
        self._write_back()
        rows = self.table.read(torch.arange(self.block.start, self.block.stop))
        return rows.catch_up_(self.optimizer.step_log) if self.weight_correction else rows

    def settle(self) -> dict[str, Any]:
        """Write all rows to the table, for a checkpoint; see :meth:`Rows.settle`."""
        self._write_back()
        return {'seed': self.table.seed, 'recent': self.recent.state_dict(),
                'slots': self.ranks.all_gather_object(self.ids)}

    def held(self) -> tuple[Tensor, Tensor]:
        """See :meth:`Rows.held`."""
        slots = (self.ids >= 0).nonzero()[:, 0]
        ids, order = self.ids[slots].sort()
        return ids, slots[order]

    def changed_ids(self, since: int) -> Iterator[Tensor]:
        """See :meth:`RowTable.changed_ids`; after :meth:`settle`."""
        return self.table.changed_ids(since)

    def read(self, ids: Tensor) -> RowState:
        """The rows ``ids[M]`` of the block, as the table has them."""
        return self.table.read(ids)

    def restore(self, pieces: Iterable[tuple[Tensor, RowState]], shared: dict[str, Any]) -> None:
        """See :meth:`Rows.restore`."""
        if shared['recent'] is None:
            raise ValueError(f'the checkpoint is of training with all classes, expected {self.recent.capacity} recent '
                             'ones: num_negatives must be the one the run was started with')
        self.finish()
        self.recent.load_state_dict(shared['recent'])
        self.table.seed = shared['seed']
        for ids, rows in pieces:
            self.table.write(ids, rows)
        slots = shared['slots']
        if len(slots) == self.ranks.size:
            self._lay_out(slots[self.ranks.rank].clone())
        else:
            held = torch.cat(slots)
            self._lay_out(self._in_order(held[self.block.contains(held)]))

    def _in_order(self, held: Tensor) -> Tensor:
        """``[S]``: the rows ``held``, one after the other, in as many slots as they need, and -1."""
        num_slots = self._min_slots
        while num_slots < len(held):
            num_slots = math.ceil(num_slots * _GROWTH)
        return F.pad(held, (0, num_slots - len(held)), value=-1)

    def _lay_out(self, ids: Tensor) -> None:
        """Have each slot hold the row ``ids[S]``, out of the table; -1 for an empty one."""
        held = (ids >= 0).nonzero()[:, 0]
        slots = self.recent.slots(ids[held])
        self.ids = ids
        self._free = (ids < 0).nonzero()[:, 0]
        self._waiting = held[slots < 0]
        self._local_slot = torch.full((self.recent.capacity, ), -1, dtype=torch.int64)
        self._local_slot[slots[slots >= 0]] = held[slots >= 0]
        replace_data_(self.weight, self.weight.data.new_zeros(len(ids), self.weight.shape[1]))
        self.optimizer.row_momentum = torch.zeros_like(self.weight.data)
        none = held[:0]
        self._exchange(_Moves(none, none, ids[held], held, none))

    def _exchange(self, moves: _Moves, fetched: Optional[_Fetched] = None,
                  also: Sequence[Tensor] = ()) -> tuple[Optional[_Left], list[Tensor]]:
        """Empty slots, and put rows into them or into others.

        Args:
            moves: what goes and comes.
            fetched: rows that were read ahead.
            also: what else to send to the device.

        Returns:
            tuple: the rows that left, None if there are none, and what else was sent.
        """
        ids = moves.arriving_ids
        if fetched is None or not _covers(fetched.ids, ids):
            fetched = self._fetch(ids.sort().values)
        place = torch.searchsorted(fetched.ids, ids)  # more may have been read ahead than come
        missed = torch.empty(0, dtype=self.weight.dtype)
        if self.weight_correction and len(ids):
            missed = self.optimizer.step_log.product(fetched.clock[place]).to(self.weight.dtype)
        host = [moves.leaving, moves.arriving, moves.emptied, place, missed, self._mask(), *also]
        leaving, arriving, emptied, place, missed, mask, *sent = self._transfers.send_together(host)
        self.active = mask if len(mask) else None

        weight, momentum = self.weight.data, self.optimizer.row_momentum
        left = None
        if len(leaving):  # copied out before an arrival overwrites the slot; the order of the queue keeps it so
            records = torch.stack([weight[leaving], momentum[leaving]], 1)
            left = _Left(moves.left_ids, self._transfers.post(records), len(self.optimizer.step_log))
        if len(emptied):  # an empty slot holds zeros, which decay and momentum leave as they are
            weight.index_fill_(0, emptied, 0)
            momentum.index_fill_(0, emptied, 0)
        if len(arriving):
            new_weight, new_momentum = fetched.records.get()[place].unbind(1)
            if self.weight_correction:
                correct_(new_weight, new_momentum, missed)
            weight.index_copy_(0, arriving, new_weight)
            momentum.index_copy_(0, arriving, new_momentum)
        return left, sent

    def _take_slots(self, leaving: Tensor, arriving_ids: Tensor, slots: Tensor) -> _Moves:
        """Give arrivals, which :class:`RecentClasses` has in ``slots``, the first that are empty or become so."""
        while len(arriving_ids) > len(leaving) + len(self._free):
            self._grow()
        left_ids, places = self.ids[leaving], self._free
        if len(leaving):
            places = torch.cat([leaving, places]).sort().values
        local, self._free = places.tensor_split([len(arriving_ids)])
        emptied = self._free[self.ids[self._free] >= 0]  # those of the leaving that no arrival took
        self.ids[leaving] = -1  # first this, as arrivals take some of these slots
        self.ids[local] = arriving_ids
        self._local_slot[slots] = local
        return _Moves(leaving, left_ids, arriving_ids, local, emptied)

    def _mask(self) -> Tensor:
        """``[S]`` bool, the slots that take part in the softmax; empty where all do."""
        if not len(self._free) and not len(self._waiting):
            return torch.empty(0, dtype=torch.bool)
        mask = self.ids >= 0
        mask[self._waiting] = False
        return mask

    def _resume_waiting(self, ids: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Put arrivals that are still waiting in a local slot back to work there; returns the others."""
        waiting_ids, order = self.ids[self._waiting].sort()
        if not len(waiting_ids):
            return ids, slots
        place = torch.searchsorted(waiting_ids, ids).clamp_(max=len(waiting_ids) - 1)
        back = waiting_ids[place] == ids
        resumed = order[place[back]]
        self._local_slot[slots[back]] = self._waiting[resumed]
        stays = torch.ones(len(self._waiting), dtype=torch.bool)
        stays[resumed] = False
        self._waiting = self._waiting[stays]
        return ids[~back], slots[~back]

    def _fetch(self, ids: Tensor) -> _Fetched:
        """Read rows, and send them."""
        records = self._transfers.host_empty((len(ids), 2, self.table.num_channels), self.weight.dtype)
        clock = self.table.read(ids, records).clock
        return _Fetched(ids, clock, self._transfers.send(records))

    def _write(self, left: _Left) -> None:
        """Write rows to the table once they have arrived."""
        weight, momentum = left.records.arrive().unbind(1)
        self.table.write(left.ids, RowState(weight, momentum, torch.full_like(left.ids, left.num_steps)))

    def _write_and_fetch(self, left: Optional[_Left], check: Callable[[], None], coming: Tensor) -> Optional[_Fetched]:
        """What the thread does: in this order, since what comes may be what has just left."""
        if left is not None:
            left.records.arrive()  # what the check looks at was sent before: nobody waits for it again
        check()
        if left is not None:
            self._write(left)
        return self._fetch(coming) if len(coming) else None

    def finish(self) -> Optional[_Fetched]:
        """Wait for the thread: what left is in the table.  Returns what it has read ahead."""
        ahead, self._ahead = self._ahead, None
        return None if ahead is None else ahead.result()

    def _write_back(self) -> None:
        """Have the table hold all rows."""
        self.finish()
        local = (self.ids >= 0).nonzero()[:, 0]
        records = torch.stack([tensor[local.to(tensor.device)] for tensor in
                               (self.weight.detach(), self.optimizer.row_momentum)], 1)
        self._write(_Left(self.ids[local], self._transfers.post(records), len(self.optimizer.step_log)))

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


def _covers(known: Tensor, ids: Tensor) -> bool:
    """Whether all ``ids`` are among ``known``, which rise."""
    if not len(known):
        return not len(ids)
    place = torch.searchsorted(known, ids).clamp_(max=len(known) - 1)
    return torch.equal(known[place], ids)
