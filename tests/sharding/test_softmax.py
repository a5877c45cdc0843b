import pytest
import torch
import torch.nn.functional as F

from pic_plugin.sharding import Ranks, block_of, gather_features, sharded_cross_entropy
from tests.ranks import run_ranks

SAMPLES_PER_RANK, CLASSES, CHANNELS = 4, 10, 6


def problem():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(12, CHANNELS, dtype=torch.float64, generator=generator)
    weight = torch.randn(CLASSES, CHANNELS, dtype=torch.float64, generator=generator)
    target = torch.randint(0, CLASSES, (12, ), generator=generator)
    return features, weight, target


def on_a_rank(rank, world_size):
    features, weight, target = problem()
    ranks = Ranks.of_world()
    block = block_of(rank, CLASSES, world_size)
    mine = features.view(world_size, -1, CHANNELS)[rank].clone().requires_grad_()
    rows = weight[block.start:block.stop].clone().requires_grad_()
    gathered = gather_features(mine, ranks)
    logits = torch.cat([gathered.flatten(0, 1) @ rows.T, gathered.new_full((12, 1), -torch.inf)], 1)  # one empty slot
    local = torch.where(block.contains(target), target - block.start, -1)
    losses = sharded_cross_entropy(logits, local, ranks)
    (losses * torch.arange(12)).sum().backward()
    return losses.detach(), mine.grad, rows.grad


@pytest.mark.parametrize('world_size', [1, 2, 3, 6])
def test_equals_cross_entropy_over_all_rows(world_size):
    features, weight, target = problem()
    features.requires_grad_()
    weight.requires_grad_()
    expected = F.cross_entropy(features @ weight.T, target, reduction='none')
    (expected * torch.arange(12)).sum().backward()

    results = run_ranks(on_a_rank, world_size)
    for losses, _, _ in results:
        torch.testing.assert_close(losses, expected.detach(), rtol=0, atol=1e-12)
    # DistributedDataParallel averages over the ranks what comes back multiplied by their number
    feature_grad = torch.cat([grad for _, grad, _ in results]) / world_size
    torch.testing.assert_close(feature_grad, features.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.cat([grad for *_, grad in results]), weight.grad, rtol=0, atol=1e-12)


def collectives(rank, world_size):
    ranks = Ranks.of_world()
    value = torch.tensor([rank, 10])
    return (ranks.all_gather(value), ranks.sum_(value.clone()), ranks.max_(value.clone()),
            ranks.broadcast_int(rank + 7))


@pytest.mark.parametrize('world_size', [1, 3])
def test_ranks(world_size):
    for gathered, total, maximum, broadcast in run_ranks(collectives, world_size):
        assert gathered.tolist() == [[rank, 10] for rank in range(world_size)]
        assert total.tolist() == [sum(range(world_size)), 10 * world_size]
        assert maximum.tolist() == [world_size - 1, 10]
        assert broadcast == 7
