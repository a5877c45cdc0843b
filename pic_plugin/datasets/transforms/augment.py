"""The transform that has augmentations applied, in the pipeline or, later, on the model's device."""
from collections.abc import Sequence
from typing import Any, Union

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform, Resize
from mmpretrain.datasets.transforms import CenterCrop, PackInputs, ResizeEdge

from pic_plugin.functional.hashing import Draws
from pic_plugin.registry import AUGMENTATIONS, TRANSFORMS

from ..any_depth import LoadImageOfAnyDepth
from .augmentation import Augmentation

_DRAW_NOTHING = (LoadImageOfAnyDepth, Resize, ResizeEdge, CenterCrop, PackInputs)  # of what often goes with ours
DRAWS = 'draws'  # under which the visit's random numbers are among a sample's results
DRAWN = 'augmentations'  # under which a data sample has what was drawn for each view, and is still to be done


def draws_of(results: dict) -> Draws:
    """The random numbers of this visit; of a data set that has no keys, ones that torch's generator seeds."""
    if DRAWS not in results:
        results[DRAWS] = Draws(int(torch.randint(1 << 62, ())))
    return results[DRAWS]


@TRANSFORMS.register_module()
class Augment(BaseTransform):
    """Augmentations of an image, or of each of several views, one after the other.

    Their parameters are a function of the visit's key, so that no generator has to be seeded.  They are applied here,
    by OpenCV; or, where the model is on a GPU and this is the last transform but ``PackInputs``, by the model's
    :class:`.InstanceDataPreprocessor`, which :class:`.DeviceSettingsHook` sees to.

    Args:
        augmentations: configs of :class:`Augmentation`.

    Raises:
        ValueError: if an augmentation is none; in :meth:`transform`, if an image is not uint8 of one or three channels.
    """
    draws_from_key = True

    def __init__(self, augmentations: Sequence[Union[dict, Augmentation]]) -> None:
        self.augmentations = [AUGMENTATIONS.build(augmentation) if isinstance(augmentation, dict) else augmentation
                              for augmentation in augmentations]
        for augmentation in self.augmentations:
            if not isinstance(augmentation, Augmentation):
                raise ValueError('augmentations must be configs of augmentations, as dict(type=\'RandomAffine\', ...), '
                                 f'got {augmentation!r}')

    def transform(self, results: dict) -> dict:
        """Augment ``img``, an image or a list of them."""
        draws, image = draws_of(results), results['img']
        results['img'] = [self._view(view, draws) for view in image] if isinstance(image, list) else self._view(
            image, draws)
        return results

    def draw(self, draws: Draws, sizes: Sequence[tuple[int, int]]) -> list[tuple[float, ...]]:
        """What :meth:`transform` would draw for views of these heights and widths: each view's parameters, in a row."""
        return [tuple(value for augmentation in self.augmentations for value in augmentation.draw(draws, *size))
                for size in sizes]

    def _view(self, image: np.ndarray, draws: Draws) -> np.ndarray:
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape[2:] not in ((), (3, )):
            given = f'{image.dtype} {list(image.shape)}' if hasattr(image, 'dtype') else type(image).__name__
            raise ValueError(f'Augment needs images of bytes, [H, W] or [H, W, 3], got {given}; let it come right '
                             'after the loader')
        height, width = image.shape[:2]
        if image.ndim == 3 and not image.flags.c_contiguous:
            image = cv2.merge([image[..., channel] for channel in range(3)])  # as OpenCV wants it
        for augmentation in self.augmentations:
            image = augmentation.on_host(image, augmentation.draw(draws, height, width))
        if image.ndim == 3:
            image = np.stack(cv2.split(image)).transpose(1, 2, 0)  # PackInputs would take twice as long to do so
        return image

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.augmentations})'


def draws_nothing_else(transform: Any) -> bool:
    """Whether a transform draws from the visit's key alone, or not at all, so that no generator has to be seeded."""
    return getattr(transform, 'draws_from_key', False) or type(transform) in _DRAW_NOTHING
