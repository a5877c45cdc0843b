"""Nearest neighbours, near-duplicates and outliers, by the features of images."""
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors


class Nearest(NamedTuple):
    """The nearest others of each image."""
    ids: np.ndarray  # [N, k] int64, the nearest first
    similarity: np.ndarray  # [N, k] float32, cosines


def nearest_neighbours(features: np.ndarray, k: int) -> Nearest:
    """The k images whose features have the largest cosine with an image's own, exactly, without itself.

    Args:
        features: ``[N, C]`` float32, of any length.
        k: less than N.

    Raises:
        ValueError: if there are no k others.
    """
    if not 0 < k < len(features):
        raise ValueError(f'there must be more than {k} images, for each to have {k} neighbours; got {len(features)}')
    distance, ids = NearestNeighbors(n_neighbors=k, metric='cosine', algorithm='brute').fit(features).kneighbors()
    return Nearest(ids, (1 - distance).astype(np.float32))


def near_duplicates(nearest: Nearest, threshold: float) -> list[np.ndarray]:
    """Groups of images that are joined by cosines of at least ``threshold``, the largest group first.

    Returns:
        list: the ids of each group, two or more, sorted.
    """
    num_images = len(nearest.ids)
    rows, columns = np.nonzero(nearest.similarity >= threshold)
    joined = coo_array((np.ones(len(rows), np.int8), (rows, nearest.ids[rows, columns])), (num_images, num_images))
    _, labels = connected_components(joined, directed=False)
    order = np.argsort(labels, kind='stable')
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    return sorted((group for group in groups if len(group) > 1), key=len, reverse=True)


def outliers(nearest: Nearest, count: int) -> np.ndarray:
    """The images with the smallest mean cosine to their nearest others, the smallest first: ``[count]``."""
    return np.argsort(nearest.similarity.mean(1), kind='stable')[:count]
