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
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    return (_GREY[0] * red).add_(green, alpha=_GREY[1]).add_(blue, alpha=_GREY[2])


def blend(images: Tensor, own: Tensor, grey: Tensor, mean: Tensor) -> Tensor:
    r"""Mix each pixel with its grey and the image's mean grey: :math:`a x + b\, g(x) + c\, \overline{g(x)}`, in 0..255.

    Of torchvision's functions, with a factor f, ``adjust_brightness`` is (f, 0, 0), ``adjust_saturation``
    (f, 1 - f, 0) and ``adjust_contrast`` (f, 0, 1 - f); (1, 0, 0) changes nothing.

    Args:
        images: ``[B, C, H, W]`` float in 0..255, C = 3 or 1.
        own: ``[B]``, a.
        grey: ``[B]``, b.
        mean: ``[B]``, c.

    Returns:
        Tensor: ``[B, C, H, W]``.
    """
    own, grey, mean = (weight[:, None, None, None] for weight in (own, grey, mean))
    of_pixel = grey_of(images)
    # float64 adds up whole numbers exactly, in whatever order a device takes them, which may depend on the batch
    total = (of_pixel * _STEPS).round_().sum((1, 2, 3), keepdim=True, dtype=torch.float64)
    of_image = (total / (_STEPS * of_pixel[0].numel())).to(images.dtype)
    return torch.addcmul(torch.addcmul(mean * of_image, grey, of_pixel), own, images).clamp_(0, 255)


def shift_hue(images: Tensor, turns: Tensor) -> Tensor:
    r"""Turn the hue, equals ``torchvision.transforms.functional.adjust_hue``.

    With hue h in sixths of a turn, largest channel M and smallest m, each channel is
    :math:`M - (M - m) \max(0, \min(k, 4 - k, 1))`, where k is h + 5, h + 3 and h + 1, modulo 6, for red, green and blue
    (Smith, "Color Gamut Transform Pairs", SIGGRAPH 1978, with saturation and value put in).

    Args:
        images: ``[B, C, H, W]`` float, C = 3, red first, or 1, which have no hue.
        turns: ``[B]``.

    Returns:
        Tensor: ``[B, C, H, W]``.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    largest = images.amax(1)
    chroma = largest - images.amin(1)
    divisor = chroma.masked_fill(chroma == 0, 1)
    hue = torch.where(largest == red, (green - blue) / divisor,
                      torch.where(largest == green, (blue - red) / divisor + 2, (red - green) / divisor + 4))
    hue = hue + 6 * turns[:, None, None]
    channels = []
    for offset in (5, 3, 1):
        k = torch.remainder(hue + offset, 6)
        channels.append(largest - chroma * torch.minimum(k, 4 - k).clamp_(0, 1))
    return torch.stack(channels, dim=1)


def jitter(images: Tensor, blends: Tensor, hues: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Several steps of :func:`blend`, each followed by :func:`shift_hue` of some of the images.

    So each image may have brightness, contrast, saturation and hue changed in an order of its own:
    ``torchvision.transforms.ColorJitter``.

    Args:
        images: ``[B, C, H, W]`` float in 0..255.
        blends: ``[steps, 3, B]``, the weights of :func:`blend`.
        hues: of each step, which images ``[n]`` int64, and their turns ``[n]``.

    Returns:
        Tensor: ``[B, C, H, W]``.
    """
    for weights, (which, turns) in zip(blends, hues):
        images = blend(images, *weights)
        if len(which):
            images.index_copy_(0, which, shift_hue(images.index_select(0, which), turns))
    return images
