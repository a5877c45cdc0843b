r"""Weighted k-nearest-neighbour classification (Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
Discrimination", CVPR 2018, Section 3.4).

A neighbour :math:`i` with similarity :math:`s_i` votes for its class with weight :math:`\exp(s_i / \tau)`.
"""
from torch import Tensor


def knn_votes(similarity: Tensor, labels: Tensor, num_classes: int, temperature: float) -> Tensor:
    """Votes ``[Q, num_classes]`` of the neighbours with ``similarity[Q, k]`` and ``labels[Q, k]``."""
    weights = ((similarity - similarity[:, :1]) / temperature).exp()  # the nearest counts 1: no overflow
    return weights.new_zeros(len(labels), num_classes).scatter_add_(1, labels, weights)
