import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from pic_plugin.functional import nearest_rows as module
from pic_plugin.functional.nearest_rows import nearest_rows


def brute_force(queries, rows, k, own, active):
    """Each query's similarities, one by one, sorted."""
    result = []
    for q, query in enumerate(queries):
        found = []
        for j, row in enumerate(rows):
            if (active is None or active[j]) and (own is None or j != own[q]):
                found.append((float(query @ row / query.norm() / row.norm()), j))
        result.append(sorted(found, reverse=True)[:k])
    return result


@given(num_queries=st.integers(1, 6), num_rows=st.integers(1, 30), k=st.integers(1, 12), chunk=st.integers(1, 60),
       with_own=st.booleans(), share_active=st.sampled_from([None, 0.0, 0.5]), seed=st.integers(0, 99))
def test_equals_brute_force(num_queries, num_rows, k, chunk, with_own, share_active, seed):
    generator = torch.Generator().manual_seed(seed)
    queries, rows = (torch.randn(n, 5, dtype=torch.float64, generator=generator) for n in (num_queries, num_rows))
    own = torch.randint(-1, num_rows, (num_queries, ), generator=generator) if with_own else None
    if own is not None:
        queries[own >= 0] = rows[own[own >= 0]] * 3
    active = None if share_active is None else torch.rand(num_rows, generator=generator) < share_active
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, '_CHUNK_SIMILARITIES', chunk)
        similarity, nearest = nearest_rows(queries, rows, k, own, active)
    assert similarity.shape == nearest.shape == (num_queries, k)
    for q, expected in enumerate(brute_force(queries, rows, k, own, active)):
        count = len(expected)
        assert nearest[q, count:].eq(-1).all() and similarity[q, count:].eq(-torch.inf).all()
        assert similarity[q, :count].tolist() == pytest.approx([s for s, _ in expected], abs=1e-12)
        if with_own and not (own is not None and len(set(own.tolist())) < num_queries):
            assert nearest[q, :count].tolist() == [j for _, j in expected]


def test_equals_topk_of_the_whole_product():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(500, 8, dtype=torch.float64, generator=generator)
    cosine = F.normalize(rows, dim=1) @ F.normalize(rows, dim=1).T
    similarity, nearest = nearest_rows(rows, rows, 20, own=torch.arange(500))
    expected = cosine.fill_diagonal_(-torch.inf).topk(20)
    torch.testing.assert_close(similarity, expected.values, rtol=0, atol=1e-12)
    assert torch.equal(nearest, expected.indices)


def test_the_host_needs_no_value(monkeypatch):
    """An accelerator is not waited for: all goes through on the device whose tensors have no values to wait for."""
    monkeypatch.setattr(module, '_ACCELERATOR_SIMILARITIES', 100)
    queries, rows, own = (torch.empty(shape, device='meta') for shape in ((6, 4), (30, 4), 6))
    similarity, nearest = nearest_rows(queries, rows, 5, own.long(), rows[:, 0].bool())
    assert similarity.shape == nearest.shape == (6, 5)
