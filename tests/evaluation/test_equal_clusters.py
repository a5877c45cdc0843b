from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pic_plugin.evaluation.equal_clusters import equal_clusters


@given(num_samples=st.integers(1, 30), num_clusters=st.integers(1, 30), seed=st.integers(0, 99))
def test_sizes_differ_by_one_at_most(num_samples, num_clusters, seed):
    num_clusters = min(num_clusters, num_samples)
    features = np.random.default_rng(seed).normal(size=(num_samples, 3))
    sizes = np.bincount(equal_clusters(features, num_clusters, seed), minlength=num_clusters)
    assert sizes.sum() == num_samples and sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize('num_samples, num_clusters', [(6, 2), (7, 3), (7, 2)])
def test_no_other_division_is_closer_to_the_centres(num_samples, num_clusters):
    """All divisions of these sizes, tried one by one."""
    for seed in range(10):
        features = np.random.default_rng(seed).normal(size=(num_samples, 2))
        clusters = equal_clusters(features, num_clusters, seed)
        centers = np.stack([features[clusters == i].mean(0) for i in range(num_clusters)])

        def cost(division, features=features, centers=centers):
            return ((features - centers[np.array(division)])**2).sum()

        larger = permutations(range(num_clusters), num_samples % num_clusters)
        divisions = {division for extra in larger for division in permutations(
            [*list(range(num_clusters)) * (num_samples // num_clusters), *extra])}
        assert cost(clusters) == pytest.approx(min(map(cost, divisions)), abs=1e-12)


def test_groups_that_are_far_apart_are_found():
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), 25)
    features = 100 * generator.normal(size=(4, 8))[groups] + generator.normal(size=(100, 8))
    clusters = equal_clusters(features, 4)
    assert len({(a, b) for a, b in zip(groups, clusters)}) == 4


def test_the_same_seed_gives_the_same():
    features = np.random.default_rng(0).normal(size=(50, 4))
    assert np.array_equal(equal_clusters(features, 7, 3), equal_clusters(features, 7, 3))
