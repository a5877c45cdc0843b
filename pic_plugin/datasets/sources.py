"""Turns what a user names into arguments of :class:`.instance_dataset.InstanceDataset`."""
import os
from collections.abc import Sequence
from typing import Any, Union

from mmengine.fileio import LocalBackend, get_file_backend

from .archives import located
from .image_files import IMAGE_EXTENSIONS

Data = Union[str, os.PathLike, Sequence[Union[str, os.PathLike]]]


def images_from(data: Data) -> dict[str, Any]:
    """Find ``data_root`` and ``ann_file`` of the images that a user names.

    Args:
        data: a folder, or several, where a pack, a zip file or an LMDB data base is as good as a folder; or a text file
            with the names of images, one a line, absolute or relative to the folder of that file.

    Raises:
        ValueError: if it is something else, or not there.
    """
    names = [os.fspath(name) for name in ([data] if isinstance(data, (str, os.PathLike)) else data)]
    if not names:
        raise ValueError('a folder of images was expected, or several, or a file that lists images, and none is given')
    lists = [name for name in names if os.path.isfile(name) and located(name) == name]
    if images := [name for name in lists if name.lower().endswith(IMAGE_EXTENSIONS)]:
        raise ValueError(f'{images[0]} is an image; give the folder of it, or a text file with the names of images, '
                         'one a line')
    if lists and len(names) > 1:
        raise ValueError(f'{lists[0]} is a file; one file that lists images was expected, or one folder or several: '
                         f'put all names into one file, got {len(names)} arguments')
    if lists:
        folder, name = os.path.split(os.path.abspath(lists[0]))
        return {'data_root': folder, 'ann_file': name}
    for name in names:
        if isinstance(get_file_backend(located(name)), LocalBackend) and not os.path.isdir(name):
            raise ValueError(f'there is no folder or file {name!r}; give a folder of images, several, or a text file '
                             'with their names')
    return {'data_root': names if len(names) > 1 else names[0]}
