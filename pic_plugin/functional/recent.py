"""Which classes are recent: the K distinct ids visited last (PIC, Section 2.3, recent negative sampling).

Only the *most recent K instances* take part in the softmax.  Which they are is a function of the stream of ids alone,
so every rank that is shown the same stream comes to the same answer.
"""
from typing import NamedTuple

import torch
from torch import Tensor


class Change(NamedTuple):
    """What a visit changed."""
    arrived_ids: Tensor  # [A] int64: active now, not before
    arrived_slots: Tensor  # [A] int64: the slots they took
    left_ids: Tensor  # [E] int64: active before, not now
    left_slots: Tensor  # [E] int64: the slots they had, each taken by an arrival


class RecentClasses:
    """The ``capacity`` ids visited last, each in a slot that it keeps while it is active.

    A new id takes an empty slot, or the slot of the id whose last visit is longest ago.  A visit of B ids costs a few
    passes over K numbers and no loop over ids.

    Attributes:
        ids (Tensor): ``[K]`` int64, the id in each slot, -1 where the slot is empty.

    Raises:
        ValueError: if capacity is not positive.
    """

    ids: Tensor
    _last_visit: Tensor  # [K] int64 by slot: the number of the visit, -1 where the slot is empty
    _num_visits: int
    _sorted_ids: Tensor  # [A] int64, the active ids, rising
    _sorted_slots: Tensor  # [A] int64, the slot of each

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f'capacity must be positive, got {capacity}')
        self.capacity = capacity
        self.load_state_dict({
            'ids': torch.full((capacity, ), -1, dtype=torch.int64),
            'last_visit': torch.full((capacity, ), -1, dtype=torch.int64)
        })

    def __len__(self) -> int:
        """The number of active ids."""
        return len(self._sorted_ids)

    def slots(self, ids: Tensor) -> Tensor:
        """The slot of each of ``ids[M]``, -1 for an id that is not active: ``[M]`` int64."""
        if not len(self):
            return torch.full_like(ids, -1)
        place = torch.searchsorted(self._sorted_ids, ids).clamp_(max=len(self) - 1)
        return torch.where(self._sorted_ids[place] == ids, self._sorted_slots[place], -1)

    def visit(self, ids: Tensor) -> Change:
        """Make ``ids[M]``, from the earliest to the latest visit, the most recent ones.

        An id may come more than once; one that is active already moves to the front.

        Raises:
            ValueError: if there are more distinct ids than slots, or a negative one.
        """
        unique, inverse = torch.unique(ids, return_inverse=True)  # sorted, which the merge below relies on
        if len(unique) > self.capacity:
            raise ValueError(f'a batch of {len(unique)} distinct ids does not fit into {self.capacity} recent classes; '
                             'lower the batch size or raise num_negatives')
        if len(unique) and int(unique[0]) < 0:
            raise ValueError(f'ids must not be negative, got {int(unique[0])}')
        # visits are numbered through; of an id that comes several times, the last one counts
        visit = torch.zeros_like(unique).scatter_reduce_(
            0, inverse, torch.arange(self._num_visits, self._num_visits + len(ids)), 'amax')
        self._num_visits += len(ids)

        slots = self.slots(unique)
        known = slots >= 0
        # those that stay are marked as visited first, so that none of them is among the oldest below
        self._last_visit[slots[known]] = visit[known]
        arrived = unique[~known]
        num_empty = min(self.capacity - len(self), len(arrived))
        empty_slots = torch.arange(len(self), len(self) + num_empty)  # slots fill up in order and are never vacated
        # the oldest make room: only among slots that are full, and as many as lack an empty one
        left_slots = self._last_visit[:len(self)].topk(len(arrived) - num_empty, largest=False).indices
        left_ids = self.ids[left_slots]  # read before the arrivals overwrite them
        arrived_slots = torch.cat([empty_slots, left_slots])
        self.ids[arrived_slots] = arrived
        self._last_visit[arrived_slots] = visit[~known]
        self._replace(left_ids, arrived, arrived_slots)
        return Change(arrived, arrived_slots, left_ids, left_slots)

    def _replace(self, left_ids: Tensor, arrived_ids: Tensor, arrived_slots: Tensor) -> None:
        """Merge the arrivals, sorted by id, into the sorted list, without those that left."""
        stays = torch.ones(len(self), dtype=torch.bool)
        stays[torch.searchsorted(self._sorted_ids, left_ids)] = False
        kept = stays.nonzero()[:, 0]  # once for both
        ids, slots = self._sorted_ids.index_select(0, kept), self._sorted_slots.index_select(0, kept)
        # an arrival goes behind the ids that are smaller, and the arrivals before it
        place = torch.searchsorted(ids, arrived_ids) + torch.arange(len(arrived_ids))
        is_old = torch.ones(len(ids) + len(arrived_ids), dtype=torch.bool)
        is_old[place] = False
        self._sorted_ids = torch.empty_like(is_old, dtype=torch.int64).masked_scatter_(is_old, ids)
        self._sorted_slots = torch.empty_like(is_old, dtype=torch.int64).masked_scatter_(is_old, slots)
        self._sorted_ids[place], self._sorted_slots[place] = arrived_ids, arrived_slots

    def state_dict(self) -> dict[str, Tensor]:
        """``{'ids': [K], 'last_visit': [K]}``, by slot."""
        return {'ids': self.ids.clone(), 'last_visit': self._last_visit.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over the slots of ``state``.

        Raises:
            ValueError: if it has another number of slots.
        """
        if len(state['ids']) != self.capacity:
            raise ValueError(f'the checkpoint has {len(state["ids"])} recent classes, expected {self.capacity}: '
                             'num_negatives must be the one the run was started with')
        self.ids, self._last_visit = state['ids'].clone(), state['last_visit'].clone()
        self._num_visits = int(self._last_visit.max()) + 1
        num_active = int((self.ids >= 0).sum())
        by_id = self.ids[:num_active].sort()
        self._sorted_ids, self._sorted_slots = by_id.values, by_id.indices
