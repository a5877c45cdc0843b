"""Augmentations of a batch of images, each image by parameters of its own: functions on tensors, with torch alone.

Images are ``[B, C, H, W]`` float, 0 to 255.  No function draws, looks at a value or sums over images: nothing waits for
a device, and an image's result does not depend on the batch it is in.
"""
from .geometry import affine, erase

__all__ = ['affine', 'erase']
