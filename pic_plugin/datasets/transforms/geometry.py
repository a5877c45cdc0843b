"""Geometry: flips, affine maps, and rectangles that are painted over."""
import math
from collections.abc import Sequence
from typing import Optional, Union

import cv2
import numpy as np
from torch import Tensor

from pic_plugin.arguments import check_kind
from pic_plugin.augmentations import affine, erase
from pic_plugin.functional.hashing import Draws
from pic_plugin.registry import AUGMENTATIONS

from .augmentation import Augmentation, Sometimes, check_probability, check_range

_ATTEMPTS = 10  # torchvision's, to draw a rectangle that fits


@AUGMENTATIONS.register_module()
class RandomHorizontalFlip(Sometimes):
    """Mirror left and right, as ``torchvision.transforms.RandomHorizontalFlip``.

    Args:
        p: how often.

    Raises:
        ValueError: if ``p`` is no probability.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__(p)

    def on_host(self, image: np.ndarray, parameters: Sequence[float]) -> np.ndarray:
        """As :meth:`Augmentation.on_host`."""
        return cv2.flip(image, 1) if parameters[0] else image

    def change(self, images: Tensor) -> Tensor:
        """As :meth:`Sometimes.change`."""
        return images.flip(-1)


@AUGMENTATIONS.register_module()
class RandomAffine(Augmentation):
    """Turn, shift, scale and shear an image about its centre, with bilinear interpolation.

    Args are those of ``torchvision.transforms.RandomAffine``, and so are the distributions.

    Args:
        degrees: (least, largest) angle; one number for (-degrees, degrees).
        translate: the largest shift to either side, (x, y), as shares of width and height; shifts are whole pixels.
        scale: (least, largest) factor.
        shear: (least, largest) angle along x, in degrees, or of x and of y; one number for (-shear, shear) along x.
        fill: the value of what comes from outside.

    Raises:
        ValueError: if a range is none.
    """
    num_parameters = 6

    def __init__(self,
                 degrees: Union[float, Sequence[float]],
                 translate: Optional[Sequence[float]] = None,
                 scale: Optional[Sequence[float]] = None,
                 shear: Union[float, Sequence[float], None] = None,
                 fill: float = 0) -> None:
        check_kind(float, fill=fill)
        self.degrees = _angles('degrees', degrees, 180)
        if translate is not None and not (len(translate) == 2 and all(0 <= share <= 1 for share in translate)):
            raise ValueError(f'translate must be two shares (x, y) from 0 to 1, got {translate!r}')
        self.translate = translate
        self.scale = None if scale is None else check_range('scale', scale, 1e-3, 1e3)
        shear = [] if shear is None else shear
        self.shears = [_angles('shear', pair, 89) for pair in
                       ([shear[:2], shear[2:]] if isinstance(shear, Sequence) and len(shear) == 4 else
                        [shear] if shear else [])]
        self.fill = fill

    def draw(self, draws: Draws, height: int, width: int) -> tuple[float, ...]:
        """The six numbers of :func:`pic_plugin.augmentations.affine`'s ``inverse``."""
        angle = math.radians(draws.uniform(*self.degrees))
        shift_x = shift_y = shear_x = shear_y = 0.0
        if self.translate is not None:
            largest_x, largest_y = self.translate[0] * width, self.translate[1] * height
            shift_x = round(draws.uniform(-largest_x, largest_x))
            shift_y = round(draws.uniform(-largest_y, largest_y))
        scale = 1.0 if self.scale is None else draws.uniform(*self.scale)
        if self.shears:
            shear_x, shear_y = (math.radians(draws.uniform(*pair)) for pair in [*self.shears, (0.0, 0.0)][:2])
        # scale * rotation * shear, as torchvision defines it, and its inverse; the shear's determinant is 1
        cos, sin, tan = math.cos(angle - shear_y) / math.cos(shear_y), math.sin(angle - shear_y) / math.cos(
            shear_y), math.tan(shear_x)
        a, b, c, d = cos, -cos * tan - math.sin(angle), sin, -sin * tan + math.cos(angle)
        a, b, c, d = d / scale, -b / scale, -c / scale, a / scale
        return a, b, -a * shift_x - b * shift_y, c, d, -c * shift_x - d * shift_y

    def on_host(self, image: np.ndarray, parameters: Sequence[float]) -> np.ndarray:
        """As :meth:`Augmentation.on_host`."""
        a, b, x, c, d, y = parameters
        height, width = image.shape[:2]
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        # from pixels counted from the corner
        inverse = np.array(((a, b, x + middle_x - a * middle_x - b * middle_y),
                            (c, d, y + middle_y - c * middle_x - d * middle_y)))
        return cv2.warpAffine(image, inverse, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                              borderMode=cv2.BORDER_CONSTANT, borderValue=(self.fill, ) * 3)

    def on_device(self, images: Tensor, *parameters: Tensor) -> Tensor:
        """As :meth:`Augmentation.on_device`."""
        return affine(images, parameters[0].unflatten(1, (2, 3)), self.fill)


@AUGMENTATIONS.register_module()
class RandomErasing(Augmentation):
    """Paint a rectangle over (Zhong et al., "Random Erasing Data Augmentation", AAAI 2020).

    Args are those of ``torchvision.transforms.RandomErasing``, and so are the distributions.

    Args:
        p: how often.
        scale: (least, largest) share of the image's area.
        ratio: (least, largest) height / width.
        value: what is painted.

    Raises:
        ValueError: if ``p`` is no probability, or a range is none.
    """
    num_parameters = 4

    def __init__(self,
                 p: float = 0.5,
                 scale: Sequence[float] = (0.02, 0.33),
                 ratio: Sequence[float] = (0.3, 3.3),
                 value: float = 0) -> None:
        check_kind(float, value=value)
        self.p, self.value = check_probability('p', p), value
        self.scale, self.ratio = check_range('scale', scale, 0, 1), check_range('ratio', ratio, 1e-3, 1e3)
        self._log_ratio = math.log(self.ratio[0]), math.log(self.ratio[1])

    def draw(self, draws: Draws, height: int, width: int) -> tuple[float, ...]:
        """Top, left, height and width, in pixels; zeros if nothing is erased."""
        if draws.uniform() < self.p:
            for _ in range(_ATTEMPTS):
                area, ratio = height * width * draws.uniform(*self.scale), math.exp(draws.uniform(*self._log_ratio))
                box_height, box_width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
                if box_height < height and box_width < width:
                    return (draws.below(height - box_height + 1), draws.below(width - box_width + 1), box_height,
                            box_width)
        return 0, 0, 0, 0

    def on_host(self, image: np.ndarray, parameters: Sequence[float]) -> np.ndarray:
        """As :meth:`Augmentation.on_host`."""
        top, left, height, width = map(int, parameters)
        if height and width:
            image = image.copy()
            image[top:top + height, left:left + width] = self.value
        return image

    def on_device(self, images: Tensor, *parameters: Tensor) -> Tensor:
        """As :meth:`Augmentation.on_device`."""
        return erase(images, parameters[0], self.value)


def _angles(name: str, given: Union[float, Sequence[float]], largest: float) -> tuple[float, float]:
    return check_range(name, given if isinstance(given, Sequence) else (-given, given), -largest, largest)
