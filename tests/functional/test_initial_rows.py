import pytest
import torch

from pic_plugin.functional.initial_rows import initial_rows


def test_normal_with_the_given_std():
    rows = initial_rows(torch.arange(2000), 128, 0.01, seed=3, dtype=torch.float64)
    assert rows.shape == (2000, 128)
    assert abs(rows.mean()) < 5 * 0.01 / 506  # sqrt(2000 * 128) = 506
    assert rows.std() == pytest.approx(0.01, rel=0.01)
    assert (rows / 0.01).pow(4).mean() == pytest.approx(3, rel=0.03)  # the kurtosis of a normal variable


def test_a_row_is_a_function_of_seed_and_id():
    ids = torch.tensor([10**9, 3, 77, 3])
    rows = initial_rows(ids, 16, 0.01, seed=1)
    assert rows.dtype == torch.float32
    assert torch.equal(rows[1], rows[3])
    for i, row in zip(ids, rows):
        assert torch.equal(initial_rows(i[None], 16, 0.01, seed=1)[0], row)
    assert not torch.equal(initial_rows(ids, 16, 0.01, seed=2), rows)
