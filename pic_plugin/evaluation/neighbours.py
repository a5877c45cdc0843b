"""Nearest neighbours, near-duplicates and outliers, by the features of images."""
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pic_plugin.functional.nearest_rows import nearest_rows

_QUERIES = 4096  # at once: each looks at all images, a chunk of them at a time


class Nearest(NamedTuple):
    """The nearest others of each image."""
    ids: np.ndarray  # [N, k] int64, the nearest first
    similarity: np.ndarray  # [N, k] float32, cosines


def nearest_neighbours(features: np.ndarray, k: int, device: str = 'cpu') -> Nearest:
    """The k images whose features have the largest cosine with an image's own, exactly, without itself.

    It takes 2 N^2 C operations, and beside the features and what is found less than a gigabyte.

    Args:
        features: ``[N, C]`` float32, of any length.
        k: less than N.
        device: that computes.

    Raises:
        ValueError: if there are no k others.
    """
    if not 0 < k < len(features):
        raise ValueError(f'there must be more than {k} images, for each to have {k} neighbours; got {len(features)}')
    rows, ids = torch.from_numpy(features).to(device), torch.arange(len(features), device=device)
    found = [nearest_rows(rows[own], rows, k, own) for own in ids.split(_QUERIES)]
    similarity, nearest = (torch.cat(parts).cpu().numpy() for parts in zip(*found))
    return Nearest(nearest, similarity)


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
