"""Colours: brightness, contrast, saturation and hue, and grey."""
from collections.abc import Sequence

import torch
from torch import Tensor

_GREY = (0.2989, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601, as torchvision rounds it
_STEPS = 256  # to a level, in which a mean is summed up


def grey_of(images: Tensor) -> Tensor:
    """``[B, 1, H, W]``, equals ``torchvision.transforms.functional.rgb_to_grayscale``.

    Args:
        images: ``[B, 3, H, W]``, red first; ``[B, 1, H, W]`` are grey already.
    """
    return _grey(images.split(1, dim=1))


def jitter(images: Tensor, blends: Tensor, turns: Tensor) -> Tensor:
    r"""Mix colours with greys, turn the hue, and mix again: :math:`a x + b\, g(x) + c\, \overline{g(x)}`, in 0..255.

    Of torchvision's functions, with a factor f, ``adjust_brightness`` is (a, b, c) = (f, 0, 0), ``adjust_saturation``
    (f, 1 - f, 0) and ``adjust_contrast`` (f, 0, 1 - f); (1, 0, 0) changes nothing.  So with three steps before the hue
    and three after it each image may have all four changed in an order of its own, as
    ``torchvision.transforms.ColorJitter`` does.

    The mean is that of the grey :math:`g(x)` as the step finds it, so all up to there is computed twice: once for the
    mean, once for the result.  Compiled, that is two passes over the images, and nothing between the steps is stored.

    Args:
        images: ``[B, C, H, W]`` float in 0..255, C = 3, red first, or 1.
        blends: ``[B, 2, steps, 3]``, a, b and c of the steps before the hue is turned and of those after it.  At most
            one step of an image has a c that is not 0.
        turns: ``[B]``, by how much the hue is turned.

    Returns:
        Tensor: ``[B, C, H, W]``.
    """
    planes = images.unbind(1)
    # float64 adds up whole numbers exactly, in whatever order a device takes them, which may depend on the batch
    _, grey = _jittered(planes, blends, turns, torch.zeros_like(turns))
    total = (grey * _STEPS).round().sum((1, 2), dtype=torch.float64)
    mean = (total / (_STEPS * grey[0].numel())).to(images.dtype)
    return torch.stack(_jittered(planes, blends, turns, mean)[0], dim=1)


def shift_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue, equals ``torchvision.transforms.functional.adjust_hue``.

    Args:
        images: ``[B, C, H, W]`` float, C = 3, red first, or 1, which have no hue.
        turns: ``[B]``.

    Returns:
        Tensor: ``[B, C, H, W]``.
    """
    return torch.stack(_with_hue_shifted(images.unbind(1), turns), dim=1)


def _grey(planes: Sequence[Tensor]) -> Tensor:
    if len(planes) == 1:
        return planes[0]
    red, green, blue = planes
    return (_GREY[0] * red).add_(green, alpha=_GREY[1]).add_(blue, alpha=_GREY[2])


def _jittered(planes: tuple[Tensor, ...], blends: Tensor, turns: Tensor,
              mean: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """The planes ``[B, H, W]`` jittered, and the grey of which ``mean`` ``[B]`` is to be the mean."""
    mean = mean[:, None, None]
    wanted = torch.zeros_like(planes[0])
    for steps, last in ((blends[:, 0], False), (blends[:, 1], True)):
        for own, of_pixel, of_image in (step[..., None, None].unbind(1) for step in steps.unbind(1)):
            grey = _grey(planes)
            wanted = torch.where(of_image != 0, grey, wanted)
            added = of_pixel * grey + of_image * mean
            planes = tuple(torch.addcmul(added, own, plane).clamp_(0, 255) for plane in planes)
        if not last:
            planes = _with_hue_shifted(planes, turns)
    return planes, wanted


def _with_hue_shifted(planes: tuple[Tensor, ...], turns: Tensor) -> tuple[Tensor, ...]:
    r"""The planes ``[B, H, W]`` with their hues turned; those that are not turned at all, to the bit.

    With hue h in sixths of a turn, largest channel M and smallest m, each channel is
    :math:`M - (M - m) \max(0, \min(k, 4 - k, 1))`, where k is h + 5, h + 3 and h + 1, modulo 6, for red, green and blue
    (Smith, "Color Gamut Transform Pairs", SIGGRAPH 1978, with saturation and value put in).
    """
    if len(planes) == 1:
        return planes
    red, green, blue = planes
    turns = turns[:, None, None]
    largest = torch.maximum(torch.maximum(red, green), blue)
    chroma = largest - torch.minimum(torch.minimum(red, green), blue)
    divisor = torch.where(chroma == 0, 1, chroma)
    hue = torch.where(largest == red, (green - blue) / divisor,
                      torch.where(largest == green, (blue - red) / divisor + 2, (red - green) / divisor + 4))
    hue = hue + 6 * turns
    shifted = []
    for plane, offset in zip(planes, (5, 3, 1)):
        k = torch.remainder(hue + offset, 6)
        shifted.append(torch.where(turns == 0, plane, largest - chroma * torch.minimum(k, 4 - k).clamp(0, 1)))
    return tuple(shifted)
