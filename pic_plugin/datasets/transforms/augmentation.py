"""What an augmentation is: one draw of parameters, and two ways to render them."""
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pic_plugin.functional.hashing import Draws


class Augmentation(ABC):
    """A random change of an image, whose parameters are drawn on the host from the visit's key.

    They are rendered either on the host, one image at a time, or on a device, all images of a batch at once; both give
    the same view to rounding.

    Attributes:
        num_parameters (int): how many :meth:`draw` gives.
    """
    num_parameters: int

    @abstractmethod
    def draw(self, draws: Draws, height: int, width: int) -> tuple[float, ...]:
        """``num_parameters`` parameters for one image of this size in pixels."""

    @abstractmethod
    def on_host(self, image: np.ndarray, parameters: Sequence[float]) -> np.ndarray:
        """The image, ``[H, W]`` or ``[H, W, 3]`` uint8 with blue first, changed; the one given stays as it is."""

    @abstractmethod
    def on_device(self, images: Tensor, *parameters: Tensor) -> Tensor:
        """The images, ``[B, C, H, W]`` float in 0..255 with red first, changed; those given stay as they are.

        It is compiled where a compiler is found: only what depends on shapes may be decided here.

        Args:
            images: all views of one size.
            parameters: what :meth:`to_send` gave, on the images' device.
        """

    def to_send(self, parameters: Tensor) -> Sequence[Tensor]:
        """What the device needs of a batch's parameters, ``[B, num_parameters]`` float64 on the host.

        Returns:
            Sequence: of tensors, ``[B, ...]`` each.
        """
        return [parameters.float()]


class Sometimes(Augmentation):
    """A change with nothing to draw but whether it is done.

    Args:
        p: how often.

    Raises:
        ValueError: if ``p`` is no probability.
    """
    num_parameters = 1

    def __init__(self, p: float) -> None:
        self.p = check_probability('p', p)

    def draw(self, draws: Draws, height: int, width: int) -> tuple[float, ...]:
        """Whether it is done."""
        return (float(draws.uniform() < self.p), )

    @abstractmethod
    def change(self, images: Tensor) -> Tensor:
        """Images, as those of :meth:`on_device`, all of them changed; of shape ``[B, C or 1, H, W]``."""

    def on_device(self, images: Tensor, *parameters: Tensor) -> Tensor:
        """As :meth:`Augmentation.on_device`."""
        return torch.where(parameters[0][..., None, None] != 0, self.change(images), images)


def check_range(name: str, given: Any, low: float, high: float) -> tuple[float, float]:
    """Two numbers of a config, ``low <= given[0] <= given[1] <= high``.

    Raises:
        ValueError: if it is no such pair.
    """
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2 or not all(
            isinstance(value, (int, float)) for value in given) or not low <= given[0] <= given[1] <= high:
        raise ValueError(f'{name} must be two numbers (a, b) with {low:g} <= a <= b <= {high:g}, got {given!r}')
    return float(given[0]), float(given[1])


def check_probability(name: str, given: Any) -> float:
    """A number in 0..1 of a config.

    Raises:
        ValueError: if it is none.
    """
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given <= 1:
        raise ValueError(f'{name} must be a number from 0 to 1, got {given!r}')
    return float(given)
