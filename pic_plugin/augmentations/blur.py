"""Gaussian blur."""
import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian_weights(sigmas: Tensor, radius: int) -> Tensor:
    """``[B, 2 radius + 1]`` float64, of each ``sigmas`` ``[B]`` > 0, in pixels; they sum to 1."""
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (offsets / sigmas.double()[:, None])**2)
    return weights / weights.sum(1, keepdim=True)


def gaussian_blur(images: Tensor, weights: Tensor) -> Tensor:
    """Blur along both sides, with edges mirrored; equals ``torchvision.transforms.functional.gaussian_blur``.

    A weighted sum of shifted images.  Convolutions and products of matrices may choose their kernels, and so their
    rounding, by the size of the batch, and may round to TF32.

    Args:
        images: ``[B, C, H, W]``, with sides longer than the radius.
        weights: ``[B, 2 radius + 1]``, as of :func:`gaussian_weights`.

    Returns:
        Tensor: ``[B, C, H, W]``.
    """
    weights = weights[:, :, None, None, None]
    radius = weights.shape[1] // 2
    for dim in (2, 3):
        size = images.shape[dim]
        padding = (0, 0, radius, radius) if dim == 2 else (radius, radius, 0, 0)
        padded = F.pad(images, padding, mode='reflect')
        images = weights[:, 0] * padded.narrow(dim, 0, size)
        for tap in range(1, 2 * radius + 1):
            images.addcmul_(weights[:, tap], padded.narrow(dim, tap, size))
    return images
