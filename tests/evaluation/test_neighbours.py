"""Neighbours, near-duplicates and outliers."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pic_plugin.evaluation.neighbours import Nearest, near_duplicates, nearest_neighbours, outliers


def features_of(seed, n, c=5):
    return np.random.default_rng(seed).normal(size=(n, c)).astype(np.float32)


@given(st.integers(0, 1000), st.integers(3, 40), st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_nearest_are_those_of_the_sorted_cosines(seed, n, k):
    k, x = min(k, n - 1), features_of(seed, n)
    unit = x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    nearest = nearest_neighbours(x, k)
    np.testing.assert_allclose(nearest.similarity, -np.sort(-cosines, axis=1)[:, :k], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(cosines, nearest.ids, 1), nearest.similarity, atol=1e-5)


def test_an_image_is_no_neighbour_of_itself_even_if_it_is_there_twice():
    x = features_of(0, 10)
    x[7] = x[2]
    nearest = nearest_neighbours(x, 3)
    assert not (nearest.ids == np.arange(10)[:, None]).any()
    assert nearest.ids[2, 0] == 7 and nearest.ids[7, 0] == 2


def test_groups_of_near_duplicates():
    x = features_of(1, 30, 16)
    x[[3, 11]] = x[20] + 1e-4
    x[8] = x[5] * 3  # only the direction counts
    groups = near_duplicates(nearest_neighbours(x, 5), 0.99)
    assert [group.tolist() for group in groups] == [[3, 11, 20], [5, 8]]
    assert near_duplicates(nearest_neighbours(features_of(2, 20, 16), 5), 0.999) == []


@given(st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_groups_are_the_components_of_the_graph(seed):
    generator = np.random.default_rng(seed)
    ids = np.array([generator.permutation([j for j in range(12) if j != i])[:2] for i in range(12)])
    nearest = Nearest(ids, generator.random((12, 2)).astype(np.float32))
    group_of = list(range(12))
    for i in range(12):
        for j, similarity in zip(ids[i], nearest.similarity[i]):
            if similarity >= 0.6:
                old, new = group_of[i], group_of[j]
                group_of = [new if group == old else group for group in group_of]
    naive = [tuple(i for i in range(12) if group_of[i] == group) for group in set(group_of)]
    expected = {group for group in naive if len(group) > 1}
    groups = near_duplicates(nearest, 0.6)
    assert {tuple(group.tolist()) for group in groups} == expected
    assert [len(group) for group in groups] == sorted(map(len, groups), reverse=True)


def test_outliers_are_like_nothing():
    x = np.tile(features_of(3, 1, 8), (20, 1)) + 0.01 * features_of(4, 20, 8)
    x[13] *= -1
    assert outliers(nearest_neighbours(x, 4), 3)[0] == 13
    assert len(outliers(nearest_neighbours(x, 4), 3)) == 3


@pytest.mark.parametrize('n, k', [(3, 3), (1, 1), (5, 0)])
def test_too_few_images(n, k):
    with pytest.raises(ValueError, match=f'there must be more than {k} images'):
        nearest_neighbours(features_of(0, n), k)
