"""Transforms that draw from the visit's key, and the augmentations that they are made of."""
from .augment import Augment
from .augmentation import Augmentation
from .geometry import RandomAffine, RandomErasing

__all__ = ['Augment', 'Augmentation', 'RandomAffine', 'RandomErasing']
