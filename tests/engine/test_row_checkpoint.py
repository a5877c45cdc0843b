from pathlib import Path

import torch

from pic_plugin.engine.row_checkpoint import load_rows_, save_rows
from pic_plugin.rows import RowState
from pic_plugin.sharding import Ranks, block_of
from tests.ranks import run_ranks

NUM_ROWS = 10


def rows(block):
    ids = torch.arange(block.start, block.stop)
    return RowState(ids[:, None] + torch.arange(4) / 10, ids[:, None] - torch.arange(4) / 10, ids * 3)


def save(rank, world_size, folder):
    save_rows(Path(folder), rows(block_of(rank, NUM_ROWS, world_size)), NUM_ROWS, Ranks.of_world())


def load(rank, world_size, folder):
    expected = rows(block_of(rank, NUM_ROWS, world_size))
    loaded = RowState(*(torch.zeros_like(tensor) for tensor in expected))
    load_rows_(Path(folder), loaded, NUM_ROWS, Ranks.of_world())
    return all(torch.equal(a, b) for a, b in zip(loaded, expected))


def test_another_number_of_ranks_reads_the_same_rows(tmp_path):
    for writers in (1, 3):  # of ten rows three ranks have 4, 4 and 2
        folder = str(tmp_path / f'of-{writers}')
        run_ranks(save, writers, folder)
        for readers in (1, 2, 4):
            assert all(run_ranks(load, readers, folder))
