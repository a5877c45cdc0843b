r"""The loss of instance classification over the active classes.

PIC, Eq. 1 (the other paper's Eq. 1 is the same):

.. math::
    L = -\frac{1}{|B|} \sum_{i \in B} \log
        \frac{\exp(\cos(w_i, z_i) / \tau)}{\sum_{j=1}^{K} \exp(\cos(w_j, z_i) / \tau)}

The sum in the denominator runs over the K active classes: the recent ones (PIC, Section 2.3), or all N.
B samples, D channels, K classes.
"""
import torch.nn.functional as F
from torch import Tensor


def cosine_logits(features: Tensor, weight: Tensor, temperature: float) -> Tensor:
    r""":math:`\cos(w_j, z_i) / \tau` of ``features[B, D]`` and ``weight[K, D]``: ``[B, K]``."""
    return F.linear(F.normalize(features, dim=1) / temperature, F.normalize(weight, dim=1))


def inner_product_logits(features: Tensor, weight: Tensor, temperature: float) -> Tensor:
    r""":math:`w_j \cdot z_i / \tau`: the plain softmax that PIC's Table 1 compares with; ``[B, K]``."""
    return F.linear(features / temperature, weight)


def cosine_softmax_loss(features: Tensor, weight: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Eq. 1.  Equals ``F.cross_entropy(cosine_logits(features, weight, temperature), target)``.

    Args:
        features: ``[B, D]``, projected features, of any length.
        weight: ``[K, D]``, rows of the active classes, of any length.
        target: ``[B]`` int64, each sample's place among the K rows.
        temperature: tau.

    Returns:
        Tensor: the mean over the batch.
    """
    return F.cross_entropy(cosine_logits(features, weight, temperature), target)
