"""Images as instances: each image is a class of its own, and no label is read."""
import random
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmpretrain.datasets import CustomDataset

from pic_plugin.registry import DATASETS

from .sliding_window_sampler import StreamIndex

# what cv2, Pillow, torchvision and the file backends raise where a file is missing, cut off or no image
_READ_ERRORS = (OSError, RuntimeError, AssertionError, ValueError, SyntaxError, cv2.error)
_NUM_FINGERPRINT_NAMES = 1 << 16


@DATASETS.register_module()
class InstanceDataset(CustomDataset):
    """All images below a folder (or named in a file), one class each: the class of an image is its index.

    Two things differ from :class:`mmpretrain.datasets.CustomDataset`:

    - An image that cannot be read is not swapped for another one, which would teach a class the wrong image.  The
      sample comes with a grey image in its place and ``data_samples.unreadable`` says why; PIC leaves it out of the
      loss.
    - Where the sampler says which visit this is (:class:`SlidingWindowSampler` does), the augmentations are a function
      of that: any number of workers or ranks, and a run that was resumed, give the same views.

    Args:
        data_root, data_prefix, ann_file, extensions, pipeline, ...: as in mmpretrain's ``CustomDataset``.
        with_label: False, since labels are not used.
    """

    def __init__(self, *args: Any, with_label: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, with_label=with_label, **kwargs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The image, transformed; ``data_samples`` has ``sample_idx``, and ``unreadable``: None, or what was wrong."""
        if not self._fully_initialized:
            self.full_init()
        if isinstance(index, StreamIndex):
            with _seeded(index.key):
                return self._load(int(index))
        return self._load(index)

    def _load(self, index: int) -> dict[str, Any]:
        data = self.get_data_info(index)
        unreadable = None
        for transform in self.pipeline.transforms:
            if isinstance(transform, LoadImageFromFile):
                try:
                    loaded = transform(data)
                    reason = 'not an image'
                except _READ_ERRORS as error:
                    loaded, reason = None, f'{type(error).__name__}: {error}'
                if loaded is None:
                    unreadable = f'{data["img_path"]} ({reason})'
                    loaded = {**data, **_grey_image(transform)}
                data = loaded
            else:
                data = transform(data)
        data['data_samples'].set_metainfo({'sample_idx': index, 'unreadable': unreadable})
        return data

    def fingerprint(self) -> str:
        """A hash of the files' names and their order, wherever the folder lies.

        Of a data set of more than 65,536 files it reads the names of as many, evenly spread.  A file that was added,
        removed or renamed shifts the others or is one of them.
        """
        step = max(1, len(self) // _NUM_FINGERPRINT_NAMES)
        names = (self.get_data_info(i)['img_path'].split('/')[-2:] for i in range(0, len(self), step))
        return sha256('\n'.join('/'.join(name) for name in names).encode()).hexdigest()


def _grey_image(loader: LoadImageFromFile) -> dict[str, Any]:
    """What ``loader`` would have added to the data of a readable image."""
    shape = (256, 256)
    channels = () if loader.color_type.startswith('grayscale') else (3, )
    return {'img': np.full(shape + channels, 127, np.uint8), 'img_shape': shape, 'ori_shape': shape}


@contextmanager
def _seeded(key: int) -> Iterator[None]:
    """Seed the generators that transforms draw from, and leave them as they were: the model draws from them too."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(key)
    np.random.seed(key & 0xFFFFFFFF)
    torch.default_generator.manual_seed(key)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
