"""Chooses the settings of a training from the images and the machine, each with a reason.

The sizes of window, stride and negatives are one rule through four points that were measured: ImageNet's 1.28 million
images (PIC, Section 4.1 and Appendix C), 45,804 and 12,000 glyphs (docs/evidence.md), and 1,437 digits.
"""
import math
from typing import Any, NamedTuple, Optional

from pic_plugin.arguments import check_positive

MIN_IMAGES = 16
SMALL = 40  # pixels; images up to that size have networks and augmentations of their own
# ImageNet's: of larger data sets nothing was measured, and the softmax costs more with more negatives
_LARGEST_WINDOW = 131_072
_LARGE = 100_000  # images from which on the paper's batch, projection head, temperature and length are taken
_GB = 1 << 30
# bytes that autograd keeps of one image of 224 x 224 pixels in float32: the difference of two batches of torchvision's
# networks, counted by torch.autograd.graph.saved_tensors_hooks
_BYTES_PER_IMAGE = {'resnet18': 21 << 20, 'resnet34': 31 << 20, 'resnet50': 82 << 20, 'resnet101': 121 << 20}
_MEMORY_SHARE = 0.6  # of a GPU's memory that these may take, beside weights, gradients and temporaries
_DEPTH = {'resnet18': 18, 'resnet34': 34, 'resnet50': 50, 'resnet101': 101}
BACKBONES = ('small', *_DEPTH)
_NETWORK_LR = 1e-4  # of a network that was trained before


class Images(NamedTuple):
    """What is known of the images."""
    number: int  # N
    short_side: int  # the median, in pixels
    grey: bool  # whether all that were looked at have one channel


class Machine(NamedTuple):
    """What is trained on."""
    num_gpus: int  # 0: the CPU
    gpu_memory: int  # bytes of one GPU
    num_cores: int


class Setting(NamedTuple):
    """A number, or a name, and why."""
    value: Any
    reason: str


def choose_settings(images: Images,
                    machine: Machine,
                    batch_size: Optional[int] = None,
                    size: Optional[int] = None,
                    backbone: Optional[str] = None,
                    start: Optional[str] = None,
                    visits: Optional[int] = None,
                    hours: Optional[float] = None,
                    views_per_second: Optional[float] = None) -> dict[str, Setting]:
    """Choose what the user has not chosen.

    Args:
        images: how many, and of which kind.
        machine: its GPUs, if any, and cores.
        batch_size: over all GPUs.
        size: of the views, in pixels.
        backbone: one of ``BACKBONES``.
        start: the kind of network that training goes on from, in place of ``backbone``.
        visits: how often each image is trained on.
        hours: that training may take, by ``views_per_second``.
        views_per_second: of the whole machine, measured with the other settings; None where it was not.

    Returns:
        dict: ``size``, ``backbone``, ``batch_size``, ``window_size``, ``window_stride``, ``num_negatives``,
        ``temperature``, ``learning_rate``, with ``start`` ``network_lr``, ``batch_norm_in_neck``, ``visits``,
        ``warmup_visits`` and ``workers`` (per process).

    Raises:
        ValueError: if there are fewer than ``MIN_IMAGES`` images, fewer than two batches of them, an argument is of
            another kind or out of range, both ``visits`` and ``hours`` or ``backbone`` and ``start`` are given, or the
            GPUs do not share out a batch.
    """
    check_positive(int, optional=True, batch_size=batch_size, size=size, visits=visits)
    check_positive(float, optional=True, hours=hours)
    if images.number < MIN_IMAGES:
        raise ValueError(f'there must be at least {MIN_IMAGES} images to learn from, got {images.number}')
    if backbone is not None and backbone not in BACKBONES:
        raise ValueError(f'backbone must be one of {", ".join(BACKBONES)}, got {backbone!r}; for another, edit '
                         'model in the config that is written')
    if backbone is not None and start is not None:
        raise ValueError(f'give backbone, or a network to go on from, and not both: got {backbone!r} and {start}')
    if visits is not None and hours is not None:
        raise ValueError(f'give visits or hours, which says how many visits there are, and not both: got {visits} '
                         f'visits and {hours} hours')

    chosen: dict[str, Setting] = {}
    chosen['size'] = Setting(size, 'given') if size else _size(images, machine)
    chosen['backbone'] = Setting(start, 'by --from: its weights are what training starts from') if start else \
        Setting(backbone, 'given') if backbone else _backbone(chosen['size'].value, machine)
    chosen['batch_size'] = _batch_size(images, machine, chosen, batch_size)
    batch = chosen['batch_size'].value
    num = images.number

    window = min(num, max(8 * batch, min(_LARGEST_WINDOW, _power_of_two(num / 8))))
    chosen['window_size'] = Setting(window, f'an eighth of the {num} images, as a power of two; 8 batches or more, and '
                                    "ImageNet's 131,072 at most")
    length = _visits(images, machine, visits, hours, views_per_second)
    stride = min(window, max(batch, window // min(8, length.value)))
    chosen['window_stride'] = Setting(stride, 'an eighth of the window, as in the paper; a batch or more'
                                      if length.value >= 8 else 'so long that all images are visited')
    chosen['num_negatives'] = Setting(max(batch, window // 2), 'half a window, as in the paper')
    chosen['temperature'] = Setting(0.1, "tau; with few images better than the paper's 0.2") if num < _LARGE else \
        Setting(0.2, "tau; the paper's")
    if num >= _LARGE and batch < 512:
        chosen['learning_rate'] = Setting(0.06 * batch / 512, "the paper's 0.06 for 512 images, by the batch")
    else:
        chosen['learning_rate'] = Setting(0.06, "the paper's; for few images the same, with smaller batches")
    if start:
        chosen['network_lr'] = Setting(_NETWORK_LR, 'of AdamW; small, so that what was learnt is kept')
    chosen['batch_norm_in_neck'] = Setting(
        num < _LARGE or bool(start), 'rows start as features without what a batch has in common' if start else
        "the paper's head has none; with few iterations nothing is learnt without" if num < _LARGE else
        "the paper's head has none")
    chosen['visits'] = length
    chosen['warmup_visits'] = Setting(min(chosen['visits'].value - 1, -(-chosen['visits'].value // 40)),
                                      "a fortieth, as the paper's 5 of 200")
    per_process = machine.num_cores // max(1, machine.num_gpus)
    chosen['workers'] = Setting(max(0, min(16, per_process - (0 if machine.num_gpus else 1))),
                                f'processes that read images, of {machine.num_cores} cores')
    return chosen


def _size(images: Images, machine: Machine) -> Setting:
    largest = 224 if machine.num_gpus else 96
    if images.short_side <= SMALL:
        return Setting(max(16, images.short_side), 'as the images are; 16 or more')
    size = min(largest, images.short_side // 32 * 32)
    return Setting(size, f'pixels; half of the images have a short side of {images.short_side} or more, and '
                   f'{largest} is what {"GPUs train on" if machine.num_gpus else "a CPU can do"}')


def _backbone(size: int, machine: Machine) -> Setting:
    if size <= SMALL:
        return Setting('small', f'of three stages, for images of {size} pixels')
    if machine.num_gpus:
        return Setting('resnet50', "the paper's")
    return Setting('resnet18', 'what a CPU can train')


def _batch_size(images: Images, machine: Machine, chosen: dict[str, Setting], given: Optional[int]) -> Setting:
    processes = max(1, machine.num_gpus)
    if given is not None:
        if given % processes:
            raise ValueError(f'batch_size is over all GPUs, and must be a multiple of their number, {processes}; got '
                             f'{given}')
        if 2 * given > images.number:
            raise ValueError(f'there must be at least two batches of images, and {images.number} are fewer than 2 x '
                             f'{given}; batch_size may be {images.number // 2} at most')
        return Setting(given, 'given')
    wanted = 512 if images.number >= _LARGE else 128
    reason = "the paper's" if wanted == 512 else 'for fewer than 100,000 images'
    if wanted > images.number // 8:
        wanted, reason = max(2, 1 << (images.number // 8).bit_length() - 1), 'an eighth of the images'
    if machine.num_gpus and chosen['backbone'].value in _BYTES_PER_IMAGE:
        per_image = _BYTES_PER_IMAGE[chosen['backbone'].value] * (chosen['size'].value / 224)**2
        fits = int(machine.gpu_memory * _MEMORY_SHARE / per_image)
        if wanted > fits * processes:
            wanted, reason = 1 << (fits * processes).bit_length() - 1, f'what {machine.gpu_memory / _GB:.0f} GB hold'
    return Setting(max(processes * 2, wanted // processes * processes), f'over all GPUs; {reason}')


def _visits(images: Images, machine: Machine, visits: Optional[int], hours: Optional[float],
            views_per_second: Optional[float]) -> Setting:
    if visits is not None:
        return Setting(visits, 'of each image; given')
    if hours is None and machine.num_gpus:
        return Setting(200, "of each image; the paper's main setting")
    if views_per_second is None:
        return Setting(200 if hours is None else 1, 'of each image; before the speed is measured')
    possible = int((hours or 1.0) * 3600 * views_per_second / images.number)
    if hours is not None:
        return Setting(max(1, possible), f'of each image, in {hours:g} hours at {views_per_second:.0f} a second')
    return Setting(min(200, max(10, possible)),
                   f'of each image: 10 to 200, for an hour at {views_per_second:.0f} a second')


def _power_of_two(x: float) -> int:
    """The power of two that is nearest by ratio."""
    return 1 << max(0, round(math.log2(x)))
