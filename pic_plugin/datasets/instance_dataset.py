"""Images as instances: each image is a class of its own, and no label is read."""
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.dist import is_main_process
from mmengine.fileio import join_path
from mmengine.logging import print_log
from mmengine.utils import is_abs
from mmpretrain.datasets import BaseDataset
from mmpretrain.datasets.transforms import PackInputs
from torch import Tensor

from pic_plugin.functional.hashing import Draws
from pic_plugin.progress import counted
from pic_plugin.registry import DATASETS, TRANSFORMS

from .any_depth import LoadImageOfAnyDepth
from .archives import located
from .class_file import check_classes, classes_in_file
from .image_files import IMAGE_EXTENSIONS, images_below, images_named_in, printable
from .image_list import ImageList
from .names import Names, most_frequent
from .once_per_machine import once_per_machine
from .sliding_window_sampler import StreamIndex
from .transforms.augment import DRAWN, DRAWS, Augment, draws_nothing_else
from .transforms.augmentation import Augmentation

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
    - An :class:`.Augment` before ``PackInputs`` can be computed on the model's device, by
      :class:`.InstanceDataPreprocessor`.
    - Hidden files and folders are left out, and the log says how many of what kind were.

    Args:
        data_root: a folder, or several, whose images come one after the other.  A pack that ``tools/pack_images.py``
            wrote, a zip file or an LMDB data base (whose keys are the names) is as good as a folder.
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
        self._handed_over: Optional[Augment] = None
        self.class_of_image: Optional[Tensor] = None
        self._class_file = class_of_image
        super().__init__(ann_file, data_prefix=data_prefix, lazy_init=True, **kwargs)
        self.serialize_data = False  # an ImageList is small and shared as it is
        self._load_any_depth()
        if not lazy_init:
            self.full_init()

    def _load_any_depth(self) -> None:
        self.pipeline.transforms = [LoadImageOfAnyDepth(transform) if LoadImageOfAnyDepth.can_replace(transform) else
                                    transform for transform in self.pipeline.transforms]

    def with_pipeline(self, pipeline: Sequence[dict]) -> 'InstanceDataset':
        """The same images, which are not looked for again, with other transforms."""
        other = copy(self)
        other._handed_over = None
        other.pipeline = Compose([TRANSFORMS.build(transform) for transform in pipeline])
        other._load_any_depth()
        return other

    @property
    def folders(self) -> list[str]:
        """The folders that the images' names are relative to, one for each root."""
        return [located(_below(root, self.img_prefix)) for root in self._roots]

    def load_data_list(self) -> ImageList:
        """``img_path`` of each image.  Collective: each machine looks for them once, and its ranks share the list."""
        counts: Counter = Counter()

        def write(folder: Path) -> tuple[str, tuple]:
            runs: list[tuple[int, int]] = []
            Names.write(counted(self._found(runs, counts), 'looking for images', _log), folder)
            images = ImageList(Names.read(folder), self.folders, runs)
            self._check_once_each(images)
            fingerprint = images.fingerprint()
            return f'{len(images)} images with fingerprint {fingerprint}', (runs, fingerprint)

        def read(folder: Path, written: tuple) -> ImageList:
            runs, fingerprint = written
            return ImageList(Names.read(folder), self.folders, runs, fingerprint)

        images = once_per_machine(write, read)
        if is_main_process():
            _log(f'{len(images)} images in {", ".join(self.folders)}; left out: {_listed(counts)}')
        return images

    def _found(self, runs: list[tuple[int, int]], left_out: Counter) -> Iterator[bytes]:
        """The images' names, folder by folder; notes in ``runs`` where each of these starts, as ImageList wants it."""
        visited: set[str] = set()
        count = 0
        for place, (root, folder) in enumerate(zip(self._roots, self.folders)):
            runs.append((count, place))
            if self.ann_file:
                source = located(_below(root, self.ann_file))
                names = images_named_in(source, folder, self.with_label)
            else:
                source = folder
                names = map(os.fsencode, images_below(folder, self.extensions, visited, left_out))
            for name in names:
                count += 1
                yield name
            if count == runs[-1][0]:
                raise ValueError(f'there must be images in {source}, and there are none; left out: '
                                 f'{_listed(left_out)}; read: {", ".join(self.extensions)}')

    def _check_once_each(self, images: ImageList) -> None:
        if self.ann_file:  # what lies in folders has a name each
            path, count = most_frequent(images.paths, len(images))
            if path is not None:
                raise ValueError(f'{self.ann_file} must name each image once, and names {os.fsdecode(path)} {count} '
                                 'times: it would have several rows')

    def _get_unserialized_subset(self, indices: Union[int, Sequence[int]]) -> Sequence[dict]:
        if isinstance(indices, Sequence) and isinstance(self.data_list, ImageList):
            return self.data_list.take(indices)
        return super()._get_unserialized_subset(indices)

    def full_init(self) -> None:
        """As mmengine's, and read which class each image belongs to."""
        if self._fully_initialized:
            return
        super().full_init()
        if self._class_file:
            self.class_of_image = torch.cat([
                classes_in_file(_below(root, self._class_file), self.data_list.names_in(place))
                for place, root in enumerate(self._roots)])
            check_classes(self.class_of_image, self._class_file)
            if is_main_process():
                print_log(f'{int(self.class_of_image.max()) + 1} classes, from {self._class_file}', 'current')

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
        known = {'sample_idx': index, 'unreadable': unreadable}
        if self.class_of_image is not None:
            known['class_idx'] = int(self.class_of_image[index])
        for name, value in known.items():  # set_metainfo would copy them deeply
            data['data_samples'].set_field(value, name, field_type='metainfo')
        return data

    def _transformed(self, index: int, key: int) -> dict[str, Any]:
        draws = Draws(key)
        info = {**self.get_data_info(index), DRAWS: draws}
        # seeding three generators takes longer than all else does for a small image
        with nullcontext() if all(map(draws_nothing_else, self.pipeline.transforms)) else seeded(key):
            data = self.pipeline(info)
        if data is None:
            raise ValueError('the pipeline gave None')
        if 'data_samples' not in data:
            raise ValueError("the pipeline must end with dict(type='PackInputs'), and gave no data_samples")
        if self._handed_over is not None:
            views = data['inputs'] if isinstance(data['inputs'], list) else [data['inputs']]
            drawn = self._handed_over.draw(draws, [view.shape[-2:] for view in views])
            data['data_samples'].set_field(drawn, DRAWN, field_type='metainfo')
        return data

    def hand_over_augmentations(self) -> list[Augmentation]:
        """Leave the pipeline's :class:`Augment` to a data preprocessor, if only ``PackInputs`` comes after it.

        From then on images come without it, and samples with what it would have drawn for each of their views.

        Returns:
            list: what is to be done with the views; empty if the pipeline ends otherwise, and does all by itself.
        """
        last = self.pipeline.transforms[-2:]
        if self._handed_over is None and [type(transform) for transform in last] == [Augment, PackInputs]:
            self._handed_over = self.pipeline.transforms.pop(-2)
        return self._handed_over.augmentations if self._handed_over is not None else []

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
        """A hash of all files' names and their order: :meth:`.ImageList.fingerprint`."""
        if not self._fully_initialized:
            self.full_init()
        images = self.data_list
        if not isinstance(images, ImageList):  # a subclass made a list of its own
            images = ImageList(Names.of(os.fsencode(image['img_path']) for image in images), [''], [(0, 0)])
        return images.fingerprint()


def _grey(inputs: Any) -> Any:
    """Views, a tensor or a list of them, without what is to be seen."""
    return [_grey(view) for view in inputs] if isinstance(inputs, (list, tuple)) else torch.full_like(inputs, 127)


def _below(root: str, path: str) -> str:
    if not (root and path) or is_abs(path):
        return path or root
    return join_path(root, path)


def _log(text: str) -> None:
    print_log(printable(text), 'current')


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
