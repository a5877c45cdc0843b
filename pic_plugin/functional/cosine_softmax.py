r"""The loss of instance classification over the active classes.

PIC, Eq. 1 (the other paper's Eq. 1 is the same):

.. math::
    L = -\frac{1}{|B|} \sum_{i \in B} \log
        \frac{\exp(\cos(w_i, z_i) / \tau)}{\sum_{j=1}^{K} \exp(\cos(w_j, z_i) / \tau)}

The sum in the denominator runs over the K active classes: the recent ones (PIC, Section 2.3), or all N.
B samples, D channels, K classes.

With smoothed labels (One-Million-Way, Eq. 2 and 3) the classes :math:`H_-^i` that are hardest to tell from i count as
right too, a little; note that the labels stand inside the logarithm:

.. math::
    J = -\frac{1}{|B|} \sum_{i \in B} \log \frac{\sum_j y_j^i \exp(\cos(w_j, z_i) / \tau)}
        {\sum_j \exp(\cos(w_j, z_i) / \tau)}, \qquad
    y_j^i = 1 - \alpha \; (j = i), \quad \alpha / |H_-^i| \; (j \in H_-^i), \quad 0 \; \text{otherwise}

With a margin m ("CosFace", Wang et al., CVPR 2018, Eq. 4) a sample's own class counts as less similar than it is:
:math:`(\cos(w_i, z_i) - m) / \tau` stands in place of :math:`\cos(w_i, z_i) / \tau`, above and below the line.

With uniformly smoothed labels (Szegedy et al., CVPR 2016, Section 7; DIET, arXiv 2302.10260, has
:math:`\epsilon = 0.8`) a part of each label is shared out over all K classes, outside the logarithm:

.. math::
    J_\epsilon = (1 - \epsilon) J - \frac{\epsilon}{|B| K} \sum_{i \in B} \sum_{j=1}^{K} \log
        \frac{\exp(\cos(w_j, z_i) / \tau)}{\sum_k \exp(\cos(w_k, z_i) / \tau)}
"""
import torch.nn.functional as F
from torch import Tensor


def cosine_logits(features: Tensor, weight: Tensor, temperature: float) -> Tensor:
    r""":math:`\cos(w_j, z_i) / \tau` of ``features[B, D]`` and ``weight[K, D]``: ``[B, K]``."""
    return F.linear(F.normalize(features, dim=1) / temperature, F.normalize(weight, dim=1))


def inner_product_logits(features: Tensor, weight: Tensor, temperature: float) -> Tensor:
    r""":math:`w_j \cdot z_i / \tau`: the plain softmax that PIC's Table 1 compares with; ``[B, K]``."""
    return F.linear(features / temperature, weight)


def with_margin(logits: Tensor, target: Tensor, margin: float, temperature: float) -> Tensor:
    """CosFace, Eq. 4: ``logits[B, K]``, ``margin / temperature`` less in the places ``target[B]``."""
    return logits - F.one_hot(target, logits.shape[1]).to(logits) * (margin / temperature)


def cosine_softmax_loss(features: Tensor, weight: Tensor, target: Tensor, temperature: float, margin: float = 0.0,
                        uniform_smoothing: float = 0.0) -> Tensor:
    """Eq. 1.  Equals ``F.cross_entropy(cosine_logits(features, weight, temperature), target)`` without the options.

    Args:
        features: ``[B, D]``, projected features, of any length.
        weight: ``[K, D]``, rows of the active classes, of any length.
        target: ``[B]`` int64, each sample's place among the K rows.
        temperature: tau.
        margin: m.
        uniform_smoothing: epsilon, in [0, 1).

    Returns:
        Tensor: the mean over the batch.
    """
    logits = with_margin(cosine_logits(features, weight, temperature), target, margin, temperature)
    return F.cross_entropy(logits, target, label_smoothing=uniform_smoothing)


def smoothed_cosine_softmax_loss(features: Tensor, weight: Tensor, target: Tensor, hardest: Tensor, smoothing: float,
                                 temperature: float, margin: float = 0.0, uniform_smoothing: float = 0.0) -> Tensor:
    """One-Million-Way, Eq. 3.  Equals :func:`cosine_softmax_loss` where ``smoothing`` is 0.

    Args:
        features: ``[B, D]``, projected features, of any length.
        weight: ``[K, D]``, rows of the active classes, of any length.
        target: ``[B]`` int64, each sample's place among the K rows.
        hardest: ``[B, H]`` int64, the places of the hardest classes, without the target, none twice.
        smoothing: alpha, in [0, 1).
        temperature: tau.
        margin: m.
        uniform_smoothing: epsilon, in [0, 1).

    Returns:
        Tensor: the mean over the batch.
    """
    labels = weight.new_zeros(len(features), len(weight))
    labels.scatter_(1, hardest, smoothing / hardest.shape[1]).scatter_(1, target[:, None], 1 - smoothing)
    logits = with_margin(cosine_logits(features, weight, temperature), target, margin, temperature)
    labelled = (logits + labels.log()).logsumexp(1)
    return (logits.logsumexp(1) - (1 - uniform_smoothing) * labelled - uniform_smoothing * logits.mean(1)).mean()
