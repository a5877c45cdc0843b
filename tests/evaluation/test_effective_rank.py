import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pic_plugin.evaluation.effective_rank import effective_rank


def naive(features):
    """RankMe's Eq. 1, by numpy's singular values in float64."""
    singular = np.linalg.svd(features.double().numpy(), compute_uv=False)
    p = singular / singular.sum() + 1e-7
    return math.exp(-(p * np.log(p)).sum())


@given(st.integers(1, 40), st.integers(1, 40), st.floats(1e-3, 1e3), st.integers(0, 100))
def test_is_that_of_the_singular_values(num_samples, num_channels, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    decay = scale ** -torch.linspace(0, 1, num_channels)
    features = scale * torch.randn(num_samples, num_channels, generator=generator) * decay
    assert effective_rank(features) == pytest.approx(naive(features), rel=1e-4)


@pytest.mark.parametrize('rank', [1, 2, 7, 16])
@pytest.mark.parametrize('num_samples', [16, 50])
def test_equal_singular_values_count_fully(rank, num_samples):
    generator = torch.Generator().manual_seed(rank)
    left, right = (torch.linalg.qr(torch.randn(n, 16, generator=generator, dtype=torch.float64))[0]
                   for n in (num_samples, 30))
    assert effective_rank(5 * left[:, :rank] @ right[:, :rank].T) == pytest.approx(rank, rel=1e-4)


def test_rows_of_zeros_change_nothing():
    features = torch.randn(9, 6, generator=torch.Generator().manual_seed(0))
    assert effective_rank(torch.cat([features, torch.zeros(30, 6)])) == pytest.approx(effective_rank(features))


@pytest.mark.parametrize('features', [torch.ones(300, 40), torch.zeros(300, 40), torch.full((300, 40), 1e-30)])
def test_the_same_features_for_all_images(features):
    assert effective_rank(features) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_no_number_of_what_is_no_number(value):
    assert math.isnan(effective_rank(torch.tensor([[1.0, value]])))
