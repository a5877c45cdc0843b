"""Colours and blur, as bytes by OpenCV or as a batch on a device."""
import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Union

import cv2
import numpy as np
import torch
from torch import Tensor

from pic_plugin.augmentations import gaussian_blur, gaussian_weights, grey_of, jitter
from pic_plugin.functional.hashing import Draws
from pic_plugin.registry import AUGMENTATIONS

from .augmentation import Augmentation, Sometimes, check_probability, check_range

_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)
_ORDERS = tuple(itertools.permutations(range(4)))
_NO_BLUR = 1e-2  # pixels, of which the neighbours' weights are 0 in float64


@AUGMENTATIONS.register_module()
class ColorJitter(Augmentation):
    """Change brightness, contrast, saturation and hue, in an order that is drawn, too.

    Args are those of ``torchvision.transforms.ColorJitter``, and so are the distributions.

    Args:
        brightness: (least, largest) factor; one number for (max(0, 1 - brightness), 1 + brightness).
        contrast: likewise.
        saturation: likewise.
        hue: (least, largest) shift, in turns; one number for (-hue, hue).
        p: how often, as ``torchvision.transforms.RandomApply``.

    Raises:
        ValueError: if ``p`` is no probability, or a range is none.
    """
    num_parameters = 8

    def __init__(self,
                 brightness: Union[float, Sequence[float]] = 0,
                 contrast: Union[float, Sequence[float]] = 0,
                 saturation: Union[float, Sequence[float]] = 0,
                 hue: Union[float, Sequence[float]] = 0,
                 p: float = 1.0) -> None:
        self.p = check_probability('p', p)
        self.factors = [_factors('brightness', brightness), _factors('contrast', contrast),
                        _factors('saturation', saturation)]
        self.hue = check_range('hue', hue if isinstance(hue, Sequence) else (-hue, hue), -0.5, 0.5)

    def draw(self, draws: Draws, height: int, width: int) -> tuple[float, ...]:
        """Three factors, the hue's shift, and what is changed first, second, third and last: -1 if nothing is."""
        on, order = draws.uniform() < self.p, _ORDERS[draws.below(len(_ORDERS))]
        values = [draws.uniform(*factors) for factors in self.factors]
        return (*values, draws.uniform(*self.hue), *(order if on else (-1, -1, -1, -1)))

    def on_host(self, image: np.ndarray, parameters: Sequence[float]) -> np.ndarray:
        """As :meth:`Augmentation.on_host`."""
        for change in parameters[4:]:
            if change == _BRIGHTNESS:
                image = cv2.convertScaleAbs(image, alpha=parameters[_BRIGHTNESS])
            elif change == _CONTRAST:
                factor = parameters[_CONTRAST]
                image = cv2.addWeighted(image, factor, image, 0, (1 - factor) * cv2.mean(_grey(image))[0])
            elif image.ndim == 2:
                continue  # grey has no colour to change
            elif change == _SATURATION:
                factor = parameters[_SATURATION]
                image = cv2.addWeighted(image, factor, cv2.cvtColor(_grey(image), cv2.COLOR_GRAY2BGR), 1 - factor, 0)
            elif change == _HUE and (steps := round(256 * parameters[_HUE])):
                hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL))
                hue = cv2.LUT(hue, _turned(steps))  # of all three channels, by a larger table, it takes twice as long
                image = cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2BGR_FULL)
        return image

    def to_send(self, parameters: Tensor) -> Sequence[Tensor]:
        """The weights and turns of :func:`pic_plugin.augmentations.jitter`."""
        values, order = parameters[:, :4], parameters[:, 4:, None]
        factors = torch.where(order == torch.arange(_HUE), values[:, None, :_HUE], 1.0)  # [B, 4, 3], 1 for no change
        weights = torch.stack([factors.prod(2), 1 - factors[..., _SATURATION], 1 - factors[..., _CONTRAST]], dim=2)
        nothing = torch.tensor([1.0, 0.0, 0.0], dtype=weights.dtype)
        is_hue = order[..., 0] == _HUE
        before = (is_hue.cumsum(1) == 0)[..., None]
        blends = torch.stack([torch.where(before, weights, nothing)[:, :3],  # of four steps the hue is the last at most
                              torch.where(before, nothing, weights)[:, 1:]], dim=1)
        return [blends.float(), (values[:, _HUE] * is_hue.any(1)).float()]

    def on_device(self, images: Tensor, *parameters: Tensor) -> Tensor:
        """As :meth:`Augmentation.on_device`."""
        return jitter(images, *parameters)


@AUGMENTATIONS.register_module()
class RandomGrayscale(Sometimes):
    """Make an image grey, as ``torchvision.transforms.RandomGrayscale``; there are three channels still.

    Args:
        p: how often.

    Raises:
        ValueError: if ``p`` is no probability.
    """

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)

    def on_host(self, image: np.ndarray, parameters: Sequence[float]) -> np.ndarray:
        """As :meth:`Augmentation.on_host`."""
        return cv2.cvtColor(_grey(image), cv2.COLOR_GRAY2BGR) if parameters[0] and image.ndim == 3 else image

    def change(self, images: Tensor) -> Tensor:
        """As :meth:`Sometimes.change`."""
        return grey_of(images)


@AUGMENTATIONS.register_module()
class GaussianBlur(Augmentation):
    """Blur, as ``torchvision.transforms.GaussianBlur`` with a kernel that is wide enough.

    Args:
        sigma: (least, largest) standard deviation, in pixels.
        p: how often, as ``torchvision.transforms.RandomApply``.

    Raises:
        ValueError: if ``p`` is no probability or ``sigma`` no range; in :meth:`draw`, if the image is too small.
    """
    num_parameters = 1

    def __init__(self, sigma: Sequence[float] = (0.1, 2.0), p: float = 0.5) -> None:
        self.p, self.sigma = check_probability('p', p), check_range('sigma', sigma, 1e-2, 1e2)
        self.radius = _radius(self.sigma[1])

    def draw(self, draws: Draws, height: int, width: int) -> tuple[float, ...]:
        """The standard deviation; 0 if nothing is blurred."""
        if min(height, width) <= self.radius:
            raise ValueError(f'GaussianBlur with sigma up to {self.sigma[1]:g} needs images of more than {self.radius} '
                             f'pixels, got {height} x {width}; make sigma smaller')
        on, sigma = draws.uniform() < self.p, draws.uniform(*self.sigma)
        return (sigma if on else 0.0, )

    def on_host(self, image: np.ndarray, parameters: Sequence[float]) -> np.ndarray:
        """As :meth:`Augmentation.on_host`."""
        sigma = parameters[0]
        if not sigma:
            return image
        size = 2 * _radius(sigma) + 1
        return cv2.GaussianBlur(image, (size, size), sigma, borderType=cv2.BORDER_REFLECT_101)

    def to_send(self, parameters: Tensor) -> Sequence[Tensor]:
        """The weights of each image's blur; of those that are not blurred, 1 in the middle and 0 elsewhere."""
        return [gaussian_weights(parameters[:, 0].clamp(min=_NO_BLUR), self.radius).float()]

    def on_device(self, images: Tensor, *parameters: Tensor) -> Tensor:
        """As :meth:`Augmentation.on_device`."""
        return gaussian_blur(images, *parameters)


def _radius(sigma: float) -> int:
    """How far a Gaussian reaches: all but 6e-5 of it lies within."""
    return max(1, math.ceil(4 * sigma))


def _factors(name: str, given: Union[float, Sequence[float]]) -> tuple[float, float]:
    return check_range(name, given if isinstance(given, Sequence) else (max(0, 1 - given), 1 + given), 0, 1e3)


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image


@lru_cache(512)
def _turned(steps: int) -> np.ndarray:
    """Of each byte, the one ``steps`` further round."""
    return ((np.arange(256) + steps) % 256).astype(np.uint8)
