r"""Weighted k-nearest-neighbour classification (Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
Discrimination", CVPR 2018, Section 3.4).

A neighbour :math:`i` with similarity :math:`s_i` votes for its class with weight :math:`\exp(s_i / \tau)`.
"""
from torch import Tensor

from pic_plugin.functional.nearest_rows import nearest_rows


def knn_classes(queries: Tensor, bank: Tensor, labels: Tensor, k: int = 20, temperature: float = 0.07) -> Tensor:
    """Classes ``[Q]`` of ``queries[Q, C]``, by the k most similar of ``bank[M, C]``, which has ``labels[M]``."""
    similarity, nearest = nearest_rows(queries, bank, k)
    return knn_votes(similarity, labels[nearest], 1 + int(labels.max()), temperature).argmax(1)


def knn_votes(similarity: Tensor, labels: Tensor, num_classes: int, temperature: float) -> Tensor:
    """Votes ``[Q, num_classes]`` of the neighbours with ``similarity[Q, k]`` and ``labels[Q, k]``."""
    weights = ((similarity - similarity[:, :1]) / temperature).exp()  # the nearest counts 1: no overflow
    return weights.new_zeros(len(labels), num_classes).scatter_add_(1, labels, weights)
