import pytest
import torch
import torch.nn.functional as F

from pic_plugin.evaluation.knn import knn_votes, nearest_neighbours
from pic_plugin.sharding import Ranks, block_of
from tests.ranks import run_ranks


def problem():
    generator = torch.Generator().manual_seed(0)
    bank = F.normalize(torch.randn(23, 4, dtype=torch.float64, generator=generator), dim=1)
    labels = torch.randint(0, 3, (23, ), generator=generator)
    queries = F.normalize(torch.randn(7, 4, dtype=torch.float64, generator=generator), dim=1)
    return bank, labels, queries


def naive_votes(bank, labels, queries, k, temperature):
    votes = torch.zeros(len(queries), 3, dtype=torch.float64)
    for q, query in enumerate(queries):
        similarities = sorted(((float(query @ x), int(y)) for x, y in zip(bank, labels)), reverse=True)
        for similarity, label in similarities[:k]:
            votes[q, label] += torch.exp(torch.tensor(similarity / temperature, dtype=torch.float64))
    return votes


def on_a_rank(rank, world_size, k):
    bank, labels, queries = problem()
    block = block_of(rank, len(bank), world_size)
    return nearest_neighbours(queries, bank[block.start:block.stop], labels[block.start:block.stop], k,
                              Ranks.of_world())


@pytest.mark.parametrize('world_size, k', [(1, 1), (1, 5), (3, 10)])  # 10 is more than any of three ranks has
def test_equals_the_naive_vote(world_size, k):
    expected = naive_votes(*problem(), k, 0.07)
    for similarity, labels in run_ranks(on_a_rank, world_size, k):
        votes = knn_votes(similarity, labels, 3, 0.07)
        torch.testing.assert_close(F.normalize(votes, p=1, dim=1), F.normalize(expected, p=1, dim=1))
