"""Augmentations of a batch of images, each image by parameters of its own: functions on tensors, with torch alone.

Images are ``[B, C, H, W]`` float, 0 to 255, red first.  No function draws or looks at a value, so nothing waits for a
device; and none adds up what belongs together in an order that could depend on the batch, so an image's result does not
depend on the batch it is in.
"""
from .blur import gaussian_blur, gaussian_weights
from .color import grey_of, jitter, shift_hue
from .geometry import affine, erase

__all__ = ['affine', 'erase', 'gaussian_blur', 'gaussian_weights', 'grey_of', 'jitter', 'shift_hue']
