import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pic_plugin.functional.recent import RecentClasses


class NaiveRecent:
    """A list of ids, the one visited last at its end."""

    def __init__(self, capacity):
        self.capacity, self.ids = capacity, []

    def visit(self, ids):
        for i in ids:
            if i in self.ids:
                self.ids.remove(i)
            self.ids.append(i)
        self.ids = self.ids[-self.capacity:]


batches = st.integers(1, 8).flatmap(lambda capacity: st.tuples(
    st.just(capacity), st.lists(st.lists(st.integers(0, 15), max_size=12).filter(
        lambda batch: len(set(batch)) <= capacity), max_size=20)))


@given(batches)
def test_equals_a_list(case):
    capacity, stream = case
    recent, naive = RecentClasses(capacity), NaiveRecent(capacity)
    for batch in stream:
        before_ids, before = recent.ids.clone(), set(naive.ids)
        change = recent.visit(torch.tensor(batch, dtype=torch.int64))
        naive.visit(batch)
        active = set(naive.ids)
        assert len(recent) == len(active)
        assert set(recent.ids[recent.ids >= 0].tolist()) == active
        assert set(change.arrived_ids.tolist()) == active - before
        assert set(change.left_ids.tolist()) == before - active
        assert torch.equal(before_ids[change.left_slots], change.left_ids)
        assert torch.equal(recent.ids[change.arrived_slots], change.arrived_ids)
        stays = [slot for slot, i in enumerate(before_ids.tolist()) if i in before & active]
        assert torch.equal(recent.ids[stays], before_ids[stays])  # who stays keeps the slot
        for i in range(16):
            slot = int(recent.slots(torch.tensor([i])))
            assert slot == (recent.ids.tolist().index(i) if i in active else -1)


@given(batches)
def test_state_goes_on_where_it_was(case):
    capacity, stream = case
    recent = RecentClasses(capacity)
    for batch in stream[:len(stream) // 2]:
        recent.visit(torch.tensor(batch, dtype=torch.int64))
    resumed = RecentClasses(capacity)
    resumed.load_state_dict(recent.state_dict())
    for batch in stream[len(stream) // 2:]:
        changes = [r.visit(torch.tensor(batch, dtype=torch.int64)) for r in (recent, resumed)]
        assert all(torch.equal(a, b) for a, b in zip(*changes))


def test_errors():
    with pytest.raises(ValueError, match='capacity must be positive, got 0'):
        RecentClasses(0)
    recent = RecentClasses(3)
    recent.visit(torch.tensor([1, 2]))
    before = recent.state_dict()
    with pytest.raises(ValueError, match='4 distinct ids does not fit into 3 recent classes'):
        recent.visit(torch.tensor([5, 6, 7, 8, 8]))
    with pytest.raises(ValueError, match='must not be negative, got -2'):
        recent.visit(torch.tensor([5, -2]))
    assert all(torch.equal(before[name], recent.state_dict()[name]) for name in before)
    with pytest.raises(ValueError, match='3 recent classes, expected 4'):
        RecentClasses(4).load_state_dict(before)
