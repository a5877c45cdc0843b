"""Geometry: affine maps, and rectangles that are painted over."""
import torch
import torch.nn.functional as F
from torch import Tensor


def affine(images: Tensor, inverse: Tensor, fill: float = 0.0) -> Tensor:
    r"""Sample an image bilinearly, with ``fill`` beyond its edges, at :math:`A x + t` for each pixel :math:`x`.

    Equals ``torchvision.transforms.functional.affine`` with bilinear interpolation, whose inverse matrix is given here.

    Args:
        images: ``[B, C, H, W]`` float.
        inverse: ``[B, 2, 3]`` float, :math:`(A | t)`, from a pixel of the result to one of the image; in pixels,
            (x, y), both relative to the images' centre.
        fill: the value outside.

    Returns:
        Tensor: ``[B, C, H, W]``.
    """
    height, width = images.shape[-2:]
    # elementwise, not as a product of matrices, whose kernels may be chosen by the batch's size
    x = torch.arange(width, device=images.device, dtype=images.dtype) - (width - 1) / 2
    y = (torch.arange(height, device=images.device, dtype=images.dtype) - (height - 1) / 2)[:, None]
    rows = inverse[:, :, :, None, None].unbind(2)
    source_x, source_y = (rows[0] * x + rows[1] * y + rows[2]).unbind(1)
    grid = torch.stack([source_x * (2 / width), source_y * (2 / height)], dim=-1)
    if fill:
        images = images - fill
    images = F.grid_sample(images, grid, mode='bilinear', padding_mode='zeros', align_corners=False)
    return images + fill if fill else images


def erase(images: Tensor, boxes: Tensor, value: float = 0.0) -> Tensor:
    """Paint over a rectangle of each image; equals ``torchvision.transforms.functional.erase``.

    Args:
        images: ``[B, C, H, W]``.
        boxes: ``[B, 4]``, top, left, height and width in pixels; of height 0 where nothing is to be erased.
        value: what it is painted with.

    Returns:
        Tensor: ``[B, C, H, W]``.
    """
    top, left, height, width = boxes[:, :, None, None].unbind(1)
    y = torch.arange(images.shape[-2], device=images.device)[:, None]
    x = torch.arange(images.shape[-1], device=images.device)
    inside = (y >= top) & (y < top + height) & (x >= left) & (x < left + width)
    return images.masked_fill(inside[:, None], value)
