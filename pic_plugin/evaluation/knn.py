r"""Weighted k-nearest-neighbour classification (Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance
Discrimination", CVPR 2018, Section 3.4), sharded over the ranks.

A neighbour :math:`i` with similarity :math:`s_i` votes for its class with weight :math:`\exp(s_i / \tau)`.
"""
import torch
from torch import Tensor

from pic_plugin.sharding import Ranks


def nearest_neighbours(queries: Tensor, bank: Tensor, bank_labels: Tensor, k: int,
                       ranks: Ranks) -> tuple[Tensor, Tensor]:
    """The k most similar bank entries over all ranks.

    Args:
        queries: ``[Q, D]`` normalised, the same on every rank.
        bank: ``[M_r, D]`` normalised, this rank's.
        bank_labels: ``[M_r]`` int64.
        k: at most the number of bank entries over all ranks.
        ranks: among which the bank is shared out.

    Returns:
        tuple: similarities ``[Q, k]``, falling, and labels ``[Q, k]``.  Collectives: two all-gathers of [Q, k].
    """
    similarity, index = (queries @ bank.T).topk(min(k, len(bank)), dim=1)
    labels = bank_labels[index]
    if missing := k - similarity.shape[1]:  # a small share: fill up, so that all ranks send the same shape
        similarity = torch.nn.functional.pad(similarity, (0, missing), value=-torch.inf)
        labels = torch.nn.functional.pad(labels, (0, missing))
    similarity = ranks.all_gather(similarity).movedim(0, 1).flatten(1)
    labels = ranks.all_gather(labels).movedim(0, 1).flatten(1)
    similarity, index = similarity.topk(k, dim=1)
    return similarity, labels.gather(1, index)


def knn_votes(similarity: Tensor, labels: Tensor, num_classes: int, temperature: float) -> Tensor:
    """Votes ``[Q, num_classes]`` of the neighbours with ``similarity[Q, k]`` and ``labels[Q, k]``."""
    weights = ((similarity - similarity[:, :1]) / temperature).exp()  # the nearest counts 1: no overflow
    return weights.new_zeros(len(labels), num_classes).scatter_add_(1, labels, weights)
