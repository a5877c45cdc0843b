import pytest
import torch
import torch.nn.functional as F

from pic_plugin.sharding import Ranks, block_of, nearest_rows_of_all_ranks
from tests.ranks import run_ranks

NUM_ROWS, QUERIES_PER_RANK = 17, 3


def problem(world_size):
    generator = torch.Generator().manual_seed(world_size)
    rows = torch.randn(NUM_ROWS, 4, dtype=torch.float64, generator=generator)
    ids = torch.randperm(NUM_ROWS, generator=generator)[:QUERIES_PER_RANK * world_size].view(world_size, -1)
    return rows, ids


def on_a_rank(rank, world_size, k):
    rows, ids = problem(world_size)
    block = block_of(rank, NUM_ROWS, world_size)
    own = torch.where(block.contains(ids), ids - block.start, -1)
    return nearest_rows_of_all_ranks(rows[ids] * 2, rows[block.start:block.stop], 100 + torch.arange(*block), k,
                                     Ranks.of_world(), own)


@pytest.mark.parametrize('world_size, k', [(1, 5), (2, 5), (3, 8), (4, 20)])  # 8: more than any of three ranks has
def test_equals_one_process(world_size, k):
    rows, ids = problem(world_size)
    cosine = F.normalize(rows, dim=1) @ F.normalize(rows, dim=1).T
    expected = cosine.fill_diagonal_(-torch.inf)[ids].topk(min(k, NUM_ROWS - 1))
    for rank, (similarity, values) in enumerate(run_ranks(on_a_rank, world_size, k)):
        count = min(k, NUM_ROWS - 1)
        torch.testing.assert_close(similarity[:, :count], expected.values[rank], rtol=0, atol=1e-12)
        assert torch.equal(values[:, :count], 100 + expected.indices[rank])
        assert values[:, count:].eq(-1).all()
