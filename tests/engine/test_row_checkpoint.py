import os
import shutil
from pathlib import Path

import pytest
import torch

from pic_plugin.engine import row_checkpoint
from pic_plugin.engine.row_checkpoint import SavedRows, load_rows, save_rows
from pic_plugin.rows import DiskTable, MemoryTable, RowState, table
from pic_plugin.sharding import Ranks, block_of
from tests.ranks import run_ranks

NUM_ROWS, CHANNELS = 40, 3


def some_rows(ids, num_steps):
    """Rows that know which they are, and when they were written."""
    weight = (ids + num_steps / 100)[:, None] + torch.arange(CHANNELS) / 10
    return RowState(weight, -weight, torch.full_like(ids, num_steps))


def changed_at(num_steps):
    return torch.arange(num_steps % 7, NUM_ROWS, 3 if num_steps == 10 else 7)


def whole_table(block, num_steps, folder):
    """As after training that wrote some rows at steps 10, 20, ... num_steps."""
    kind = MemoryTable(block, CHANNELS, 0.01, 5, torch.float32) if folder is None else \
        DiskTable(block, CHANNELS, 0.01, 5, torch.float32, Path(folder))
    for now in range(10, num_steps + 1, 10):
        ids = changed_at(now)
        ids = ids[block.contains(ids)]
        kind.write(ids, some_rows(ids, now))
    return kind


def save(rank, world_size, folder, num_steps, previous, table_dir=None):
    table.PIECE_ROWS = 4
    rows = whole_table(block_of(rank, NUM_ROWS, world_size), num_steps, table_dir)
    return tuple(save_rows(Path(folder), rows, num_steps + 1, Ranks.of_world(), previous))


def load(rank, world_size, saved):
    block = block_of(rank, NUM_ROWS, world_size)
    loaded = MemoryTable(block, CHANNELS, 0.01, 5, torch.float32)
    template = loaded.read(torch.arange(0))
    for ids, rows in load_rows(SavedRows(*saved), block, template, Ranks.of_world()):
        loaded.write(ids, rows)
    expected = whole_table(block, saved[1], None)
    return torch.equal(loaded.records, expected.records) and torch.equal(loaded.clocks, expected.clocks)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr(table, 'PIECE_ROWS', 4)


@pytest.mark.parametrize('on_disk', [False, True])
def test_another_number_of_ranks_reads_the_same_rows(tmp_path, on_disk):
    for writers in (1, 3):  # of 40 rows three ranks have 14, 14 and 12
        folder = str(tmp_path / f'of-{writers}')
        saved = run_ranks(save, writers, folder, 30, None, str(tmp_path / 'table') if on_disk else None)[0]
        for readers in (1, 2, 4):
            assert all(run_ranks(load, readers, saved))


def test_what_changed_is_written_by_other_ranks_and_read_by_others_again(tmp_path):
    first = run_ranks(save, 3, str(tmp_path / '10'), 10, None)[0]
    second = SavedRows(*run_ranks(save, 2, str(tmp_path / '20'), 20, SavedRows(*first))[0])
    assert second.segments == [len(changed_at(10)), len(changed_at(20))]
    shutil.rmtree(tmp_path / '10')  # the second is complete by itself
    for readers in (1, 2, 3):
        assert all(run_ranks(load, readers, tuple(second)))


def test_only_what_changed_is_written_until_it_outgrows_the_table(tmp_path):
    previous, sizes = None, []
    for num_steps in (10, 20, 30, 40):
        previous = SavedRows(*save(0, 1, str(tmp_path / str(num_steps)), num_steps, previous))
        sizes.append(previous.segments)
        assert load(0, 1, tuple(previous))
    at = [len(changed_at(num_steps)) for num_steps in (10, 20, 30)]
    visited = len(set(torch.cat([changed_at(n) for n in (10, 20, 30, 40)]).tolist()))
    assert sizes == [at[:1], at[:2], at, [visited]]
    shared = [tmp_path / str(n) / '000/00000/__0_0.distcp' for n in (10, 20, 30)]
    assert len({os.stat(path).st_ino for path in shared}) == 1  # one file on the disk


@pytest.mark.parametrize('broken', ['gone', 'no links'])
def test_all_is_written_where_the_previous_one_cannot_be_linked(tmp_path, monkeypatch, broken):
    previous = SavedRows(*save(0, 1, str(tmp_path / '10'), 10, None))
    if broken == 'gone':
        shutil.rmtree(tmp_path / '10')
    else:
        links = []

        def link(source, target):
            links.append(target)
            if len(links) == 2:
                raise OSError('too many links')

        monkeypatch.setattr(row_checkpoint.os, 'link', link)
    saved = save(0, 1, str(tmp_path / '20'), 20, previous)
    assert len(saved[2]) == 1 and load(0, 1, saved)


def test_nothing_visited(tmp_path):
    saved = save(0, 1, str(tmp_path / '0'), 0, None)
    assert saved[2] == [0] and load(0, 1, saved)


def test_a_row_that_left_before_the_next_step_is_written_again(tmp_path):
    """As where the gradient scaler skips the step after the last checkpoint."""
    rows = whole_table(block_of(0, NUM_ROWS, 1), 10, None)
    first = save_rows(tmp_path / 'first', rows, 10, Ranks(), None)
    late = torch.tensor([11])
    rows.write(late, some_rows(late, 10))
    second = save_rows(tmp_path / 'second', rows, 10, Ranks(), first)
    read = {i: w for ids, state in load_rows(second, rows.block, rows.read(late[:0]), Ranks())
            for i, w in zip(ids.tolist(), state.weight)}
    assert torch.equal(read[11], some_rows(late, 10).weight[0])
