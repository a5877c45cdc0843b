"""Slots of two ranks, in one process: what they hold, how they grow, and rows that wait for a step."""
import copy
import threading
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pic_plugin.functional.initial_rows import initial_rows
from pic_plugin.functional.recent import RecentClasses
from pic_plugin.functional.weight_correction import StepLog
from pic_plugin.rows import AllRows, MemoryTable, RecentRows, RowState
from pic_plugin.sharding import Block, Ranks, block_of

NUM_ROWS, CAPACITY = 40, 12
INITIAL = initial_rows(torch.arange(NUM_ROWS), 3, 0.01, 7)


def optimizer():
    return SimpleNamespace(step_log=StepLog(), row_momentum=torch.empty(0))


def rows_of_rank(rank, num_ranks=2):
    return recent_rows(block_of(rank, NUM_ROWS, num_ranks), Ranks(rank, num_ranks), CAPACITY)


def recent_rows(block, ranks, capacity):
    table = MemoryTable(block, 3, 0.01, 7, torch.float32)
    return RecentRows(nn.Parameter(torch.empty(0, 3)), optimizer(), table, ranks, capacity)


streams = st.lists(st.lists(st.integers(0, NUM_ROWS - 1), max_size=8), max_size=12)


@given(streams)
def test_ranks_share_the_recent_classes(stream):
    ranks, recent = [rows_of_rank(rank) for rank in range(2)], RecentClasses(CAPACITY)
    for ids in map(torch.tensor, stream):
        ids = ids.long()
        recent.visit(ids)
        for rows in ranks:
            rows.activate(ids)
        active = set(recent.ids[recent.ids >= 0].tolist())
        for rows in ranks:
            mine = torch.tensor(sorted(i for i in active if rows.block.contains(torch.tensor(i))), dtype=torch.int64)
            slots = rows.slots(mine)
            assert len(set(slots.tolist())) == len(mine) and (slots >= 0).all()
            assert torch.equal(rows.weight.data[slots], INITIAL[mine])
            others = torch.tensor([i for i in range(NUM_ROWS) if i not in set(mine.tolist())])
            assert (rows.slots(others) == -1).all()
            in_softmax = torch.zeros(len(rows.weight), dtype=torch.bool)
            in_softmax[slots] = True
            assert torch.equal(in_softmax, torch.ones_like(in_softmax) if rows.active is None else rows.active)


def test_grows_where_one_rank_owns_more_than_its_share():
    rows = recent_rows(Block(0, 4000), Ranks(0, 4), 2000)
    at_first = len(rows.weight)
    assert 500 <= at_first < 1000  # a quarter, and room
    for ids in torch.arange(2000).split(100):
        rows.activate(ids)
    assert at_first < 2000 <= len(rows.weight) == len(rows.optimizer.row_momentum)
    everything = initial_rows(torch.arange(4000), 3, 0.01, 7)
    assert torch.equal(rows.weight.data[rows.slots(torch.arange(2000))], everything[:2000])


def test_a_row_with_a_gradient_that_waits_is_not_evicted():
    rows = rows_of_rank(0, num_ranks=1)
    rows.activate(torch.arange(12))
    old = rows.slots(torch.arange(4)).clone()
    rows.weight.grad = torch.ones_like(rows.weight)  # accumulating: not applied yet
    rows.activate(torch.arange(12, 16))
    assert (rows.slots(torch.arange(4)) == -1).all()  # out of the softmax,
    assert torch.equal(rows.weight.data[old], INITIAL[:4])  # and still in their slots
    assert not rows.active[old].any()
    assert rows.weight.grad[old].eq(1).all()
    rows.activate(torch.tensor([2]))  # visited again while it waits: back in the same slot
    assert rows.slots(torch.tensor([2])) == old[2]
    with torch.no_grad():
        rows.weight[old] += 5  # the step
    rows.optimizer.step_log.append(0.1, 0.9, 0.0)
    rows.weight.grad = None
    rows.activate(torch.tensor([20]))
    rows.activate(torch.tensor([20]))  # by the next batch, at the latest, they are written
    written = rows.table.read(torch.tensor([0, 1, 3]))
    torch.testing.assert_close(written.weight, INITIAL[[0, 1, 3]] + 5)
    assert written.clock.tolist() == [1, 1, 1]


@given(streams, st.integers(0, 11), st.sampled_from([1, 2, 3]))
def test_a_checkpoint_has_the_slots(stream, at, counts):
    """A table that is saved, and a new one from that checkpoint, go on like one that is not."""
    plain, saved = (rows_of_rank(0, num_ranks=1) for _ in range(2))
    for i, ids in enumerate(map(torch.tensor, stream)):
        if i == at:
            shared = saved.settle()
            restored = rows_of_rank(0, num_ranks=1)
            restored.optimizer.step_log = copy.deepcopy(saved.optimizer.step_log)
            restored.restore([(ids, saved.read(ids)) for ids in saved.changed_ids(0)], shared)
            if saved.weight.grad is not None:
                restored.weight.grad = saved.weight.grad.clone()
        tables = [plain, saved, *([restored] if i >= at else [])]
        for rows in tables:
            rows.activate(ids.long())
            assert torch.equal(rows.ids, plain.ids) and torch.equal(rows.weight, plain.weight)
            assert torch.equal(rows.optimizer.row_momentum, plain.optimizer.row_momentum)
            assert (rows.active is None) == (plain.active is None)
            assert rows.active is None or torch.equal(rows.active, plain.active)
        for rows in tables:
            step(rows, i, (i + 1) % counts == 0)


def step(rows, number, is_last):
    """Add a gradient, and apply what has been added up."""
    weight = rows.weight
    gradient = (torch.arange(weight.numel()).view_as(weight) + number) / 7
    gradient[rows.ids < 0] = 0
    weight.grad = gradient if weight.grad is None else weight.grad + gradient
    if is_last:
        rows.optimizer.row_momentum.mul_(0.9).add_(weight.grad).add_(weight.detach(), alpha=0.01)
        weight.data -= 0.1 * rows.optimizer.row_momentum
        rows.optimizer.step_log.append(0.1, 0.9, 0.01)
        weight.grad = None


@given(streams, st.integers(2, 4))
def test_other_ranks_share_out_what_is_in_slots(stream, num_ranks):
    """Also what has left and waits."""
    one = rows_of_rank(0, num_ranks=1)
    for i, ids in enumerate(map(torch.tensor, stream)):
        one.activate(ids.long())
        step(one, i, i == 2)
    shared, (held, slots) = one.settle(), one.held()
    dealt = []
    for rank in range(num_ranks):
        rows = rows_of_rank(rank, num_ranks)
        rows.optimizer.step_log = one.optimizer.step_log
        rows.restore([(ids[rows.block.contains(ids)], RowState(*(t[rows.block.contains(ids)] for t in one.read(ids))))
                      for ids in one.changed_ids(0)], shared)
        ids, places = rows.held()
        assert torch.equal(rows.weight[places], one.weight[slots[torch.searchsorted(held, ids)]])
        in_softmax = torch.ones_like(rows.ids, dtype=torch.bool) if rows.active is None else rows.active
        assert torch.equal(in_softmax[places], one.slots(ids) >= 0)
        dealt += ids.tolist()
    assert dealt == held.tolist()


def test_rows_that_come_are_read_ahead():
    rows = rows_of_rank(0, num_ranks=1)
    read, table_read = [], rows.table.read

    def recording(ids, records=None):
        read.append((ids.tolist(), threading.current_thread() is threading.main_thread()))
        return table_read(ids, records)

    rows.table.read = recording
    rows.activate(torch.tensor([1, 2]), torch.tensor([2, 9, 3, 9, -1]))  # as announced: 2 is at hand, 9 comes twice
    rows.activate(torch.tensor([2, 9, 3, 9]), torch.tensor([5, 6, 7]))
    rows.activate(torch.tensor([5, 7]))  # 6 cannot be read
    rows.activate(torch.tensor([8]))  # nobody knew
    assert read == [([1, 2], True), ([3, 9], False), ([5, 6, 7], False), ([8], True)]
    for i in (1, 2, 3, 5, 7, 8, 9):
        assert torch.equal(rows.weight.data[rows.slots(torch.tensor(i))], INITIAL[i])
    assert rows.slots(torch.tensor(6)) == -1


def test_what_was_read_ahead_is_caught_up_when_it_comes():
    """A step is made between reading and coming."""
    rows = rows_of_rank(0, num_ranks=1)
    rows.activate(torch.arange(12))
    rows.activate(torch.arange(12, 24))  # the first twelve leave
    rows.optimizer.row_momentum.fill_(0.5)
    rows.activate(torch.arange(24, 36), torch.arange(12, 24))  # and these, which come again
    rows.optimizer.step_log.append(0.1, 0.9, 0.01)
    rows.activate(torch.arange(12, 24))
    momentum = 0.9 * 0.5 + 0.01 * INITIAL[12:24]
    torch.testing.assert_close(rows.weight.data[rows.slots(torch.arange(12, 24))], INITIAL[12:24] - 0.1 * momentum)
    torch.testing.assert_close(rows.optimizer.row_momentum[rows.slots(torch.arange(12, 24))], momentum)


def test_nothing_is_written_that_does_not_pass_the_check():
    rows = rows_of_rank(0, num_ranks=1)
    rows.activate(torch.arange(12))

    def refuse():
        raise FloatingPointError('not finite')

    rows.activate(torch.arange(12, 24), check=refuse)
    with pytest.raises(FloatingPointError, match='not finite'):
        rows.activate(torch.arange(24, 30))
    assert rows.table.clocks.eq(0).all()


def test_what_goes_wrong_in_the_thread_is_raised():
    rows = rows_of_rank(0, num_ranks=1)
    rows.activate(torch.arange(12))

    def fail(*_):
        raise OSError('I/O error')

    rows.table.write = fail
    rows.activate(torch.arange(12, 24))
    with pytest.raises(OSError, match='I/O error'):
        rows.settle()


def test_a_batch_tells_where_its_rows_are():
    rows = rows_of_rank(0)  # ids 0 to 19 of two ranks
    batch = rows.activate(torch.tensor([[3, -5, 30], [7, 3, -1]]))
    assert torch.equal(batch.slots, rows.slots(torch.tensor([[3, -5, 30], [7, 3, -1]])))
    assert (batch.slots >= 0).tolist() == [[True, False, False], [True, True, False]]
    assert batch.readable.tolist() == [[True, False, True], [True, True, False]]


@pytest.mark.parametrize('block', [Block(0, 0), Block(3, 9)])
def test_all_rows(block):
    rows = AllRows(nn.Parameter(torch.empty(0, 3)), optimizer(), block, 0.01, 7)
    assert len(rows.weight) == max(1, len(block))  # never an empty column of logits
    ids = torch.arange(12)
    expected = [i - block.start if block.start <= i < block.stop else -1 for i in range(12)]
    assert rows.slots(ids).tolist() == rows.activate(ids).slots.tolist() == expected
    assert torch.equal(rows.present().weight, INITIAL[block.start:block.stop])
    assert (rows.active is None) == (len(block) > 0)
