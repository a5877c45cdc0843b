r"""Where a network looks (PIC, Section 5).

The saliency of a place is the length of the activations there, in share of all places:
:math:`s_p = \lVert a_p \rVert_2 / \sum_q \lVert a_q \rVert_2`.  Two maps overlap by :math:`\sum_p \min(s_p, s'_p)`,
which is 1 where they are equal, and 0 where no place is salient in both.

By itself an overlap says little: two maps of independent uniform numbers overlap by about 2/3, since most places of
each have something.  It has to be compared with that of maps that have nothing to do with each other.
"""
import torch
from torch import Tensor


def saliency_map(activations: Tensor) -> Tensor:
    """Each place's share of the activations' length.

    Args:
        activations: ``[B, C, H, W]``, the last stage's feature map; PIC takes conv5's.

    Returns:
        Tensor: ``[B, H, W]``, at least float32, each map non-negative with sum 1; even where all activations are zero.
    """
    if activations.dtype in (torch.float16, torch.bfloat16):
        activations = activations.float()
    lengths = torch.linalg.vector_norm(activations, dim=1)
    largest = lengths.amax((1, 2), keepdim=True)
    lengths = torch.where(largest > 0, lengths / largest, 1.0)  # neither too small nor too large to be added up
    return lengths / lengths.sum((1, 2), keepdim=True)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """How similar maps are: the sum of the smaller of both values over the places.

    Args:
        a: ``[B, H, W]``, as :func:`saliency_map` gives them.
        b: ``[B, H, W]``.

    Returns:
        Tensor: ``[B]`` in [0, 1], up to rounding.

    Raises:
        ValueError: if the maps differ in size.
    """
    if a.shape != b.shape:
        raise ValueError('saliency maps must have the same shape to be compared: expected [B, H, W] twice, got '
                         f'{list(a.shape)} and {list(b.shape)}; take networks of the same kind and images of one size')
    return torch.minimum(a, b).sum((1, 2))
