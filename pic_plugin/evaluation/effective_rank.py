r"""How many directions features use: RankMe (Garrido et al., "RankMe: Assessing the Downstream Performance of
Pretrained Self-Supervised Representations by Their Rank", ICML 2023, Eq. 1).

.. math::
    \exp\Big(-\sum_k p_k \log p_k\Big), \qquad p_k = \frac{\sigma_k(Z)}{\lVert \sigma(Z) \rVert_1} + \epsilon

:math:`\sigma_k` are the singular values of the features Z, one row for each image, not centred.  It is r where r of
them are equal and the others are zero, and near 1 where all images have the same features.
"""
import torch
from torch import Tensor

_EPSILON = 1e-7


def effective_rank(features: Tensor) -> float:
    """Eq. 1 of ``features[M, C]``; at most min(M, C).  Rows of zeros change nothing.  Waits for the device.

    Singular values are roots of the eigenvalues of the smaller of the two products of Z with itself, which costs a
    fraction of the decomposition of Z; in float64 they are good to 1e-8 of the largest one, less than epsilon.

    Returns:
        float: 1 for features of zeros; nan if a number is not finite.
    """
    z = features.double()
    if not z.isfinite().all():
        return float('nan')
    z = z / z.abs().amax().clamp(min=torch.finfo(z.dtype).tiny)
    product = z @ z.T if len(z) < z.shape[1] else z.T @ z
    singular = torch.linalg.eigvalsh(product).clamp(min=0).sqrt()
    p = singular / singular.sum().clamp(min=torch.finfo(z.dtype).tiny) + _EPSILON
    return float(torch.exp(-(p * p.log()).sum()))
