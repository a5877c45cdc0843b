import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pic_plugin.functional.saliency import overlap, saliency_map


def naive_map(activations):
    """[C, H, W] -> [H, W], one number after the other, in float64."""
    channels, height, width = activations.shape
    lengths = [[math.sqrt(sum(float(activations[c, y, x])**2 for c in range(channels))) for x in range(width)]
               for y in range(height)]
    total = sum(map(sum, lengths))
    return torch.tensor([[length / total for length in row] for row in lengths], dtype=torch.float64)


def naive_overlap(a, b):
    return sum(min(float(x), float(y)) for x, y in zip(a.flatten(), b.flatten()))


@settings(max_examples=25, deadline=None)
@given(size=st.tuples(*[st.integers(1, 4)] * 4), seed=st.integers(0, 99), scale=st.sampled_from([1e-30, 1.0, 1e30]))
def test_equal_the_naive_formulas(size, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(size, dtype=torch.float64, generator=generator) * scale for _ in range(2))
    maps, others = saliency_map(a), saliency_map(b)
    for image, found, found_other, share in zip(a, maps, others, overlap(maps, others)):
        torch.testing.assert_close(found, naive_map(image))
        assert float(share) == pytest.approx(naive_overlap(found, found_other))
        assert 0 <= share <= 1 + 1e-12
    torch.testing.assert_close(overlap(maps, others), overlap(others, maps))


def test_with_itself_and_with_one_that_looks_elsewhere():
    activations = torch.rand(2, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    left, right = activations.clone(), activations.clone()
    left[..., 2:], right[..., :2] = 0, 0
    torch.testing.assert_close(overlap(saliency_map(left), saliency_map(left)), torch.ones(2))
    assert overlap(saliency_map(left), saliency_map(right)).tolist() == [0, 0]


def test_the_scale_of_the_activations_does_not_count():
    activations = torch.rand(2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    for scale in (1e-18, 1e18):
        torch.testing.assert_close(saliency_map(scale * activations), saliency_map(activations))


def test_no_activation_at_all_is_an_even_map():
    assert saliency_map(torch.zeros(1, 3, 2, 4)).tolist() == [[[0.125] * 4] * 2]


def test_half_precision_is_added_up_in_single():
    maps = saliency_map(torch.full((1, 512, 64, 64), 300.0, dtype=torch.float16))
    assert maps.dtype == torch.float32 and float(maps.sum()) == pytest.approx(1)


def test_uniform_numbers_overlap_by_two_thirds():
    a, b = torch.rand(2, 1, 1, 300, 300, generator=torch.Generator().manual_seed(0))
    assert float(overlap(saliency_map(a), saliency_map(b))) == pytest.approx(2 / 3, abs=0.01)


def test_maps_of_other_sizes():
    with pytest.raises(ValueError, match=r'expected \[B, H, W\] twice, got \[2, 7, 7\] and \[2, 14, 14\]'):
        overlap(torch.ones(2, 7, 7), torch.ones(2, 14, 14))
