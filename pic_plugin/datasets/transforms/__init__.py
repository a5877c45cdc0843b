"""Transforms that draw from the visit's key, and the augmentations that they are made of."""
from .augment import Augment
from .augmentation import Augmentation
from .color import ColorJitter, GaussianBlur, RandomGrayscale
from .decode_crop_resize import DecodeCropResize
from .geometry import RandomAffine, RandomErasing, RandomHorizontalFlip

__all__ = [
    'Augment', 'Augmentation', 'ColorJitter', 'DecodeCropResize', 'GaussianBlur', 'RandomAffine', 'RandomErasing',
    'RandomGrayscale', 'RandomHorizontalFlip'
]
