"""Both kinds of table."""
import errno
import mmap
import os
import resource

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pic_plugin.functional.initial_rows import initial_rows
from pic_plugin.rows import DiskTable, MemoryTable, RowState, disk, table
from pic_plugin.sharding import Block

BLOCK = Block(10, 40)


@pytest.fixture(params=['memory', 'disk'])
def build(request, tmp_path):
    """Builds a table of that kind."""

    def build(block=BLOCK, num_channels=4, dtype=torch.float64):
        if request.param == 'memory':
            return MemoryTable(block, num_channels, 0.01, 3, dtype)
        return DiskTable(block, num_channels, 0.01, 3, dtype, tmp_path / 'table')

    return build


def some_rows(num, clocks, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weight, momentum = torch.randn(2, num, 4, dtype=torch.float64, generator=generator)
    return RowState(weight, momentum, torch.tensor(clocks))


def test_reads_what_was_written_and_initial_rows_elsewhere(build):
    table = build()
    written = some_rows(2, [5, 0])
    table.write(torch.tensor([12, 39]), written)
    rows = table.read(torch.tensor([39, 10, 12]))
    assert torch.equal(rows.weight[[2, 0]], written.weight)
    assert torch.equal(rows.momentum[[2, 0]], written.momentum)
    assert torch.equal(rows.weight[1], initial_rows(torch.tensor([10]), 4, 0.01, 3, torch.float64)[0])
    assert rows.momentum[1].tolist() == [0] * 4
    assert rows.clock.tolist() == [0, 0, 5] and rows.clock.dtype == torch.int64
    for tensor in rows:  # a copy
        tensor.zero_()
    assert torch.equal(table.read(torch.tensor([12])).weight, written.weight[:1])


some_ids = st.lists(st.integers(BLOCK.start, BLOCK.stop - 1), unique=True, max_size=6)


@given(writes=st.lists(st.tuples(some_ids, st.integers(0, 9)), max_size=12),
       since=st.integers(0, 9), piece=st.integers(1, 5), scanned=st.integers(1, 12), mapped=st.integers(1, 20))
def test_equals_a_dict(tmp_path_factory, writes, since, piece, scanned, mapped):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, 'PIECE_ROWS', piece)
        patch.setattr(table, '_SCANNED_ROWS', scanned)
        patch.setattr(disk, '_MAPPED_ROWS', mapped)  # pages are let go of in between
        for kind in (MemoryTable(BLOCK, 4, 0.01, 3, torch.float64),
                     DiskTable(BLOCK, 4, 0.01, 3, torch.float64, tmp_path_factory.mktemp('table'))):
            expected = {}
            for number, (ids, clock) in enumerate(writes):
                rows = some_rows(len(ids), [clock] * len(ids), number)
                kind.write(torch.tensor(ids, dtype=torch.int64), rows)
                expected.update({i: tuple(t[place] for t in rows) for place, i in enumerate(ids)})
            got = kind.read(torch.tensor(list(expected), dtype=torch.int64))
            for place, row in enumerate(expected.values()):
                assert all(torch.equal(t[place], value) for t, value in zip(got, row))
            pieces = list(kind.changed_ids(since))
            assert all(len(ids) == piece for ids in pieces[:-1])
            assert torch.cat([torch.empty(0), *pieces]).tolist() == sorted(
                i for i, (_, _, clock) in expected.items() if clock >= since)


def test_no_rows(build):
    empty = build(Block(3, 3))
    none = torch.empty(0, dtype=torch.int64)
    empty.write(none, some_rows(0, []))
    assert len(empty.read(none).weight) == 0 and list(empty.changed_ids(0)) == []


def test_rows_never_visited_take_no_memory(build):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    table = build(Block(0, 4_000_000), 128, torch.float32)  # 4 GB if it were touched
    table.read(torch.tensor([0, 3_999_999]))
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < 50_000


def test_forked_workers_do_not_double_the_memory(build):
    """A page of private memory is copied when it is written to while a forked process is alive."""
    table = build()
    fork = torch.multiprocessing.get_context('fork')
    written, seen = fork.Event(), fork.Queue()

    def worker():
        assert written.wait(60)
        seen.put(table.clocks[2].item())

    process = fork.Process(target=worker)
    process.start()
    table.write(torch.tensor([12]), some_rows(1, [7]))
    table.read(torch.tensor([12]))
    written.set()
    assert seen.get(timeout=60) == 8
    process.join()


def test_the_file_is_sparse_and_has_no_name(tmp_path):
    table = DiskTable(Block(0, 100_000_000), 128, 0.01, 0, torch.float32, tmp_path)
    ids = torch.tensor([5, 50_000_000])
    zeros = torch.zeros(2, 128)
    table.write(ids, RowState(zeros, zeros, torch.tensor([1, 2])))
    assert os.fstat(table._files[0]._file.fileno()).st_size == 100_000_000 * 1024
    os.fsync(table._files[0]._file.fileno())
    assert table.bytes_on_disk < 100_000 + 4 * 100_000_000  # all clocks are there
    assert list(tmp_path.iterdir()) == []  # nothing is left of a run that dies


def blocks_left(monkeypatch, num_blocks, block_size=mmap.PAGESIZE):
    """Let files have so many blocks more; returns the set of those that they have."""
    taken = set()

    def posix_fallocate(descriptor, start, length):
        asked = {(descriptor, block) for block in range(start // block_size, -(-(start + length) // block_size))}
        if len(taken | asked) > num_blocks:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken.update(asked)

    monkeypatch.setattr(os, 'posix_fallocate', posix_fallocate)
    return taken


@given(writes=st.lists(st.lists(st.integers(0, 499), unique=True, max_size=40), max_size=4),
       num_channels=st.sampled_from([3, 64, 128, 700]))
def test_room_is_reserved_before_rows_are_written(tmp_path_factory, writes, num_channels):
    with pytest.MonkeyPatch.context() as patch:
        taken = blocks_left(patch, 10 ** 9)
        table = DiskTable(Block(10, 510), num_channels, 0.01, 3, torch.float32, tmp_path_factory.mktemp('table'))
        assert len(taken) == 1  # the clocks
        taken.clear()
        row_bytes, expected = 2 * 4 * num_channels, set()
        for local in writes:
            zeros = torch.zeros(len(local), num_channels)
            table.write(torch.tensor(local, dtype=torch.int64) + 10, RowState(zeros, zeros, torch.zeros(len(local))))
            expected |= {byte // mmap.PAGESIZE for row in local
                         for byte in range(row * row_bytes, (row + 1) * row_bytes, 4)}
        assert {block for _, block in taken} == expected


def test_a_row_that_is_there_needs_no_room(monkeypatch, tmp_path):
    table = DiskTable(BLOCK, 4, 0.01, 3, torch.float64, tmp_path)
    table.write(torch.tensor([12, 30]), some_rows(2, [0, 3]))
    blocks_left(monkeypatch, 0)
    table.write(torch.tensor([30, 12]), some_rows(2, [5, 4]))
    assert table.read(torch.tensor([12, 30])).clock.tolist() == [4, 5]


def test_a_disk_that_is_full(monkeypatch, tmp_path):
    blocks_left(monkeypatch, 1 + 2)  # for the clocks, and for records
    table = DiskTable(Block(0, 100), 512, 0.01, 3, torch.float32, tmp_path)
    rows = RowState(*torch.ones(2, 1, 512), torch.tensor([7]))
    table.write(torch.tensor([4]), rows)
    table.write(torch.tensor([9]), rows)
    message = f'the table of rows in {tmp_path} cannot grow: No space left on device; make room there, or set model'
    with pytest.raises(OSError, match=message):
        table.write(torch.tensor([5]), rows)
    assert table.read(torch.tensor([4, 5, 9])).clock.tolist() == [7, 0, 7]
    with pytest.raises(OSError, match=message):
        DiskTable(Block(0, 100), 512, 0.01, 3, torch.float32, tmp_path)


def test_reads_into_memory_that_is_given(build):
    table = build()
    table.write(torch.tensor([12]), some_rows(1, [5]))
    records = torch.full((3, 2, 4), torch.nan, dtype=torch.float64)
    rows = table.read(torch.tensor([39, 12, 10]), records)
    assert rows.weight.data_ptr() == records.data_ptr()
    expected = table.read(torch.tensor([39, 12, 10]))
    assert torch.equal(records, torch.stack([expected.weight, expected.momentum], 1))
