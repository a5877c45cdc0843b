"""Images as instances: each image is a class of its own, and no label is read."""
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, Optional, Union

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.fileio import get_file_backend, join_path
from mmengine.logging import print_log
from mmengine.utils import is_abs
from mmpretrain.datasets import BaseDataset
from torch import Tensor

from pic_plugin.registry import DATASETS

from .any_depth import LoadImageOfAnyDepth
from .class_file import check_classes, classes_in_file
from .image_files import IMAGE_EXTENSIONS, images_below, images_named_in, printable
from .sliding_window_sampler import StreamIndex

_NUM_STAND_INS = 16


@DATASETS.register_module()
class InstanceDataset(BaseDataset):
    """All images below one folder or several (or named in a file), one class each: the class of an image is its index.

    With ``class_of_image`` several images may be of one class, which has one row: merged duplicates, say, or clusters
    (PIC, Appendix F).

    What differs from :class:`mmpretrain.datasets.CustomDataset`:

    - An image that cannot be read, or that the pipeline fails on, is not swapped for another one, which would teach a
      class the wrong image.  The sample is grey, of the shape that other images have, and
      ``data_samples.unreadable`` says why; PIC leaves it out of the loss.  Where the pipeline fails on all images that
      are tried for their shape, it is not the image's fault, and the error is raised.
    - Where the sampler says which visit this is (:class:`SlidingWindowSampler` does), the augmentations are a function
      of that: any number of workers or ranks, and a run that was resumed, give the same views.
    - mmcv's ``LoadImageFromFile`` is replaced by :class:`.any_depth.LoadImageOfAnyDepth`: 12 and 16 bits become 0..255,
      and not 0..15.
    - Hidden files and folders are left out, and the log says how many of what kind were.

    Args:
        data_root: a folder, or several, whose images come one after the other.
        data_prefix: a folder below each ``data_root``.
        ann_file: a file below each ``data_root`` that names the images, relative to the folder, one a line.
        with_label: whether a label, which is not used, and a blank stand behind each of these names.
        extensions: of images, where no file names them.
        class_of_image: a file below each ``data_root`` that says which class each image belongs to: one line an image,
            its name relative to the folder, a blank, and the class's number, from 0 on over all ``data_root``.
        kwargs: ``pipeline`` and others, as in ``CustomDataset``.

    Attributes:
        class_of_image (Tensor): ``[N]`` int64; None where each image is a class of its own.

    Raises:
        ValueError: if a folder does not exist or has no image, a file of names is empty or has a name twice, an
            argument is of another kind, or the file of classes does not fit.
    """

    def __init__(self,
                 data_root: Union[str, Sequence[str]] = '',
                 data_prefix: Union[str, dict] = '',
                 ann_file: str = '',
                 with_label: bool = False,
                 extensions: Sequence[str] = IMAGE_EXTENSIONS,
                 class_of_image: str = '',
                 *,
                 lazy_init: bool = False,
                 **kwargs: Any) -> None:
        roots = [data_root] if isinstance(data_root, (str, os.PathLike)) else data_root
        if not isinstance(roots, Sequence) or not roots or not all(isinstance(r, (str, os.PathLike)) for r in roots):
            raise ValueError(f'data_root must be a folder or a list of folders, got {data_root!r}')
        if isinstance(extensions, str):
            raise ValueError(f'extensions must be a list, as [\'.png\'], got {extensions!r}')
        if not (any(roots) or data_prefix or ann_file):
            raise ValueError('InstanceDataset needs data_root, data_prefix or ann_file, and got none')
        if not isinstance(class_of_image, str):
            raise ValueError(f'class_of_image must be the name of a file, got {class_of_image!r}; put it in quotes')
        self._roots = [os.fspath(root) for root in roots]
        self.with_label = with_label
        self.extensions = tuple(extension.lower() for extension in extensions)
        self.class_of_image: Optional[Tensor] = None
        self._class_file = class_of_image
        super().__init__(ann_file, data_prefix=data_prefix, lazy_init=True, **kwargs)
        self.pipeline.transforms = [LoadImageOfAnyDepth(transform) if LoadImageOfAnyDepth.can_replace(transform) else
                                    transform for transform in self.pipeline.transforms]
        if not lazy_init:
            self.full_init()

    @property
    def folders(self) -> list[str]:
        """Those that images are named relative to, one for each root."""
        return [_below(root, self.img_prefix) for root in self._roots]

    def load_data_list(self) -> list[dict]:
        """``img_path`` of each image."""
        visited: set[str] = set()
        left_out: Counter = Counter()
        paths: list[str] = []
        for root, folder in zip(self._roots, self.folders):
            if self.ann_file:
                source = _below(root, self.ann_file)
                names = images_named_in(source)
                if self.with_label:
                    names = [name.rsplit(' ', 1)[0] for name in names]
            else:
                source, names = folder, images_below(folder, self.extensions, visited, left_out)
            if not names:
                raise ValueError(f'there must be images in {source}, and there are none; left out: '
                                 f'{_listed(left_out)}; read: {", ".join(self.extensions)}')
            join = get_file_backend(folder, enable_singleton=True).join_path
            paths += [join(folder, name) for name in names]
        if len(set(paths)) < len(paths):
            path, count = Counter(paths).most_common(1)[0]
            raise ValueError(f'{self.ann_file} must name each image once, and names {path} {count} times: it would '
                             'have several rows')
        if is_main_process():
            print_log(printable(f'{len(paths)} images in {", ".join(self.folders)}; left out: {_listed(left_out)}'),
                      'current')
        return [{'img_path': path} for path in paths]

    def full_init(self) -> None:
        """As mmengine's, and read which class each image belongs to."""
        if self._fully_initialized:
            return
        super().full_init()
        if self._class_file:
            self.class_of_image = torch.cat([classes_in_file(_below(root, self._class_file), names)
                                             for root, names in zip(self._roots, self._names())])
            check_classes(self.class_of_image, self._class_file)
            if is_main_process():
                print_log(f'{int(self.class_of_image.max()) + 1} classes, from {self._class_file}', 'current')

    def _names(self) -> Iterator[Iterator[str]]:
        """The images' names, relative to their folders, folder by folder."""
        paths = (self.get_data_info(i)['img_path'] for i in range(len(self)))
        path = next(paths, None)
        for folder in self.folders:
            folder = join_path(folder, '')
            names = []
            while path is not None and path.startswith(folder):
                names.append(path[len(folder):])
                path = next(paths, None)
            yield iter(names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The image, transformed; ``data_samples`` has ``sample_idx``, and ``unreadable``: None, or what was wrong.

        Where images share classes it also has ``class_idx``.
        """
        if not self._fully_initialized:
            self.full_init()
        # without a visit's key, one that is drawn: what stands in for an unreadable image meets the same transforms
        key = index.key if isinstance(index, StreamIndex) else int(torch.randint(1 << 62, ()))
        index = int(index)
        unreadable = None
        try:
            data = self._transformed(index, key)
        except Exception as error:  # whatever loads and transforms the image may raise anything
            stand_in = self._stand_in(index, key)
            if stand_in is None:
                raise
            data = stand_in
            path = self.get_data_info(index)['img_path']
            unreadable = printable(f'{path} ({type(error).__name__}: {error})')
            data['inputs'] = _grey(data['inputs'])
            data['data_samples'].set_metainfo({'img_path': path})
        data['data_samples'].set_metainfo({'sample_idx': index, 'unreadable': unreadable})
        if self.class_of_image is not None:
            data['data_samples'].set_metainfo({'class_idx': int(self.class_of_image[index])})
        return data

    def _transformed(self, index: int, key: int) -> dict[str, Any]:
        with seeded(key):
            data = self.pipeline(self.get_data_info(index))
        if data is None:
            raise ValueError('the pipeline gave None')
        if 'data_samples' not in data:
            raise ValueError("the pipeline must end with dict(type='PackInputs'), and gave no data_samples")
        return data

    def _stand_in(self, index: int, key: int) -> Union[dict[str, Any], None]:
        """Another image that passes the pipeline with the same draws, None if of several none does."""
        step = -(-len(self) // _NUM_STAND_INS)
        for other in range(index + step, index + len(self), step):
            try:
                return self._transformed(other % len(self), key)
            except Exception:
                continue
        return None

    def fingerprint(self) -> str:
        """A hash of all files' names and their order, relative to their folders, wherever these lie.

        Of several folders it notices that two were exchanged, as long as they keep their own names.
        """
        folders = [join_path(folder, '') for folder in self.folders]
        place_of = {folder: place for place, folder in
                    enumerate(sorted(folders, key=lambda folder: folder.rstrip('/').split('/')[::-1]))}
        names, current = sha256(), None
        for i in range(len(self)):
            path = self.get_data_info(i)['img_path']
            if current is None or not path.startswith(current):
                current = next((folder for folder in folders if path.startswith(folder)), '')
                names.update(b'\0%d' % place_of.get(current, 0))
            names.update(b'\0' + os.fsencode(path[len(current):]))
        return names.hexdigest()


def _grey(inputs: Any) -> Any:
    """Views, a tensor or a list of them, without what is to be seen."""
    return [_grey(view) for view in inputs] if isinstance(inputs, (list, tuple)) else torch.full_like(inputs, 127)


def _below(root: str, path: str) -> str:
    if not (root and path) or is_abs(path):
        return path or root
    return join_path(root, path)


def _listed(counts: Counter) -> str:
    return ', '.join(f'{counts[kind]} {kind}' for kind in sorted(counts)) or 'nothing'


@contextmanager
def seeded(key: int) -> Iterator[None]:
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
