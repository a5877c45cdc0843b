"""From a file to crops of a fixed size, reading and decoding no more than these need."""
import math
from collections.abc import Mapping, Sequence
from typing import Any, Optional, Union

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform

from pic_plugin.arguments import check_positive
from pic_plugin.functional.hashing import Draws
from pic_plugin.registry import TRANSFORMS

from ..any_depth import decoded, read
from ..jpeg import FACTORS, decode_jpeg, jpeg_size, simplejpeg
from .augment import draws_of
from .augmentation import check_range

# times as many pixels along each side: a decoder's halving and the resize are two filters in place of one, which differ
# from it the more the less the second one does; with 1 by 0.8 to 1.5 levels on average, for a tenth less time
_SPARE = 1.5
_ATTEMPTS = 10  # torchvision's and mmpretrain's, to draw a crop that fits

Box = tuple[int, int, int, int]  # top, left, height and width in pixels


class RandomCrop:
    """Crops whose area and shape are drawn, as ``torchvision.transforms.RandomResizedCrop`` does.

    Args:
        size: height and width, in pixels, that they are resized to.
        scale: (least, largest) share of the image's area.
        ratio: (least, largest) width / height.

    Raises:
        ValueError: if the size is no positive whole number, or a range is none.
    """

    def __init__(self,
                 size: int,
                 scale: Sequence[float] = (0.08, 1.0),
                 ratio: Sequence[float] = (3 / 4, 4 / 3)) -> None:
        check_positive(int, size=size)
        self.size = size
        self.scale, self.ratio = check_range('scale', scale, 0, 1), check_range('ratio', ratio, 1e-3, 1e3)
        self._log_ratio = math.log(self.ratio[0]), math.log(self.ratio[1])

    def draw(self, draws: Draws, height: int, width: int) -> Box:
        """A crop of an image of this size; if none of several fits, the largest one in its middle of such a shape."""
        for _ in range(_ATTEMPTS):
            area, ratio = height * width * draws.uniform(*self.scale), math.exp(draws.uniform(*self._log_ratio))
            crop_width, crop_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < crop_width <= width and 0 < crop_height <= height:
                return (draws.below(height - crop_height + 1), draws.below(width - crop_width + 1), crop_height,
                        crop_width)
        crop_width = min(width, max(1, round(height * self.ratio[1])))
        crop_height = min(height, max(1, round(width / self.ratio[0])))
        return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width


@TRANSFORMS.register_module()
class DecodeCropResize(BaseTransform):
    """Read an image, draw crops of it, decode it as far as they need it, and resize them.

    In place of ``LoadImageFromFile`` and ``RandomResizedCrop(backend='pillow')``, whose pixels it gives: to 0.02 of 255
    levels on average, and 1 at most; where crops are so large that a half, a quarter or an eighth of the image is
    enough for them, to 1 on average.  They are a function of the visit's key, so that no generator has to be seeded.

    JPEG files are decoded by simplejpeg if it is installed.  All others, damaged ones, those with four channels and
    those that Exif says are to be turned are decoded as by :class:`.any_depth.LoadImageOfAnyDepth`.

    Args:
        crops: config of :class:`RandomCrop`; or a list of several, for as many views in a list.
        backend_args: of mmengine's file backend.

    Raises:
        ValueError: if there are no crops, or one is none; in :meth:`transform`, if the file cannot be decoded.
    """
    draws_from_key = True

    def __init__(self, crops: Union[dict, Sequence[dict]], backend_args: Optional[dict] = None) -> None:
        configs = [crops] if isinstance(crops, Mapping) else crops
        if not isinstance(configs, Sequence) or not configs or not all(isinstance(crop, Mapping) for crop in configs):
            raise ValueError(f'crops must be dict(size=..., scale=...) or a list of such, got {crops!r}')
        self.crops, self.several = [RandomCrop(**crop) for crop in configs], not isinstance(crops, Mapping)
        self.backend_args = backend_args
        simplejpeg()  # says so here if it is missing, and not in each worker

    def transform(self, results: dict) -> dict:
        """Add ``img``, ``[size, size, 3]`` uint8 with blue first, or a list of such; ``img_shape``, ``ori_shape``."""
        content, draws = read(results['img_path'], self.backend_args), draws_of(results)
        image, size, boxes, factor = None, jpeg_size(content), [], 1
        if size is not None:
            boxes = [crop.draw(draws, *size) for crop in self.crops]
            factor = self._factor(boxes)
            try:
                image = decode_jpeg(content, size, factor)
            except ValueError:  # damaged, which others may take differently
                factor = 1
        if image is None:
            image = decoded(content)
            if image.shape[:2] != size:
                size = image.shape[:2]
                boxes = [crop.draw(draws, *size) for crop in self.crops]
        views = [resized(image, box, crop.size, factor) for box, crop in zip(boxes, self.crops)]
        results.update(img=views if self.several else views[0], img_shape=views[0].shape[:2], ori_shape=size)
        return results

    def _factor(self, boxes: Sequence[Box]) -> int:
        """The largest by which an image may shrink so that the crops keep some pixels more than they are resized to."""
        return next((factor for factor in FACTORS if all(
            min(box[2:]) >= _SPARE * factor * crop.size for box, crop in zip(boxes, self.crops))), 1)

    def __repr__(self) -> str:
        return f'{type(self).__name__}({[vars(crop) for crop in self.crops]})'


def resized(image: np.ndarray, box: Box, size: int, factor: int = 1) -> np.ndarray:
    """A part of an image, resized with antialiasing, as Pillow does.

    Args:
        image: ``[H, W, 3]`` uint8.
        box: in pixels of an image ``factor`` times as large.
        size: of both sides of the result.
        factor: by which the image has been shrunk already.

    Returns:
        ndarray: ``[size, size, 3]`` uint8; in memory, one channel after the other.
    """
    top, left, height, width = box
    if factor == 1:
        part: Any = torch.from_numpy(np.ascontiguousarray(image[top:top + height, left:left + width]))
        part = F.interpolate(part.permute(2, 0, 1)[None], (size, size), mode='bilinear', antialias=True)[0]
        return part.permute(1, 2, 0).numpy()
    # the part need not begin or end with a pixel of the smaller image, and torch takes whole pixels only
    rows, columns = slice(top // factor, -(-(top + height) // factor)), slice(
        left // factor, -(-(left + width) // factor))
    part = PIL.Image.fromarray(image[rows, columns])
    ends = (left / factor - columns.start, top / factor - rows.start,
            min(part.width, (left + width) / factor - columns.start),
            min(part.height, (top + height) / factor - rows.start))
    return np.asarray(part.resize((size, size), PIL.Image.Resampling.BILINEAR, ends))
