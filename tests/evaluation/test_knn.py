import pytest
import torch
import torch.nn.functional as F

from pic_plugin.evaluation.knn import knn_votes
from pic_plugin.functional.nearest_rows import nearest_rows


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


@pytest.mark.parametrize('k', [1, 5, 23])
def test_equals_the_naive_vote(k):
    bank, labels, queries = problem()
    expected = naive_votes(bank, labels, queries, k, 0.07)
    similarity, nearest = nearest_rows(queries, bank, k)
    votes = knn_votes(similarity, labels[nearest], 3, 0.07)
    torch.testing.assert_close(F.normalize(votes, p=1, dim=1), F.normalize(expected, p=1, dim=1))
