import pytest
import torch

from pic_plugin.sharding import Ranks, block_of, own_row_is_nearest
from tests.ranks import run_ranks

NUM_ROWS, NUM_SAMPLES = 31, 200


def problem():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(NUM_ROWS, 5, generator=generator) * torch.rand(NUM_ROWS, 1, generator=generator)
    ids = torch.randint(0, NUM_ROWS, (NUM_SAMPLES, ), generator=generator)
    features = rows[ids] / rows[ids].norm(dim=1, keepdim=True) + 0.4 * torch.randn(NUM_SAMPLES, 5, generator=generator)
    return rows, ids, features, torch.arange(NUM_ROWS) % 4 != 3


def of_rank(rank, world_size, with_mask):
    rows, ids, features, active = problem()
    block = block_of(rank, NUM_ROWS, world_size)
    mine = slice(block.start, block.stop)
    slots = torch.where(block.contains(ids) & (active[ids] | (not with_mask)), ids - block.start, -1)
    return own_row_is_nearest(features, rows[mine], slots, active[mine] if with_mask else None, Ranks.of_world())


@pytest.mark.parametrize('with_mask', [False, True])
@pytest.mark.parametrize('world_size', [1, 2, 3])
def test_is_the_argmax_of_all_cosines(world_size, with_mask):
    rows, ids, features, active = problem()
    cosines = torch.nn.functional.cosine_similarity(features[:, None].double(), rows[None].double(), dim=2)
    if with_mask:
        cosines[:, ~active] = -2
    expected = (cosines.argmax(1) == ids) & (active[ids] | (not with_mask))
    assert 20 < expected.sum() < 180
    for found in run_ranks(of_rank, world_size, with_mask):
        assert torch.equal(found, expected)


def test_a_tie_is_no_hit():
    ranks, slots = Ranks(), torch.tensor([0, 1, 2])
    assert not own_row_is_nearest(torch.zeros(3, 2), torch.randn(3, 2), slots, None, ranks).any()
    assert not own_row_is_nearest(torch.tensor([[1.0, 0]] * 3), torch.tensor([[2.0, 0]] * 3), slots, None, ranks).any()
