"""Files that say which class each image belongs to, for classes that are not single images."""
import os
from codecs import BOM_UTF8
from collections.abc import Iterable
from typing import Union

import torch
from torch import Tensor

from .image_files import printable


def classes_in_file(path: str, names: Iterable[Union[str, bytes]]) -> Tensor:
    """The class of each image.

    Args:
        path: of a text file: one line an image, its name, a blank, and the number of its class.
        names: of the data set's images, as that file names them, none twice.

    Returns:
        Tensor: int64, in the order of ``names``.

    Raises:
        ValueError: if there is no such file; a line is another, or names an image twice; or an image has no line, or a
            line no image.
    """
    if not os.path.isfile(path):
        raise ValueError(f'class_of_image must name a file that says which class each image belongs to, and there is '
                         f'no {path}; tools/cluster_classes.py writes one')
    class_of: dict[bytes, int] = {}
    with open(path, 'rb') as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            name, _, class_ = line.rstrip().removeprefix(BOM_UTF8).rpartition(b' ')
            if not name or not class_.isdigit():
                raise ValueError(f'{path}, line {number}: an image\'s name, a blank and the number of its class were '
                                 f'expected, got {printable(os.fsdecode(line.strip()))!r}')
            if name in class_of:
                raise ValueError(f'{path}, line {number}: each image must have one line, and '
                                 f'{printable(os.fsdecode(name))} has two')
            class_of[name] = int(class_)
    classes, lacking = [], []
    for name in map(os.fsencode, names):
        if (found := class_of.pop(name, None)) is None:
            lacking.append(name)
        else:
            classes.append(found)
    for fault, which in (('no line for', lacking), ('a line for', class_of)):
        if which:
            example = printable(os.fsdecode(next(iter(which))))
            raise ValueError(f'{path} must have a line for each image of the data set and no other, and has {fault} '
                             f'{example}{" and others" if len(which) > 1 else ""}')
    return torch.tensor(classes, dtype=torch.int64)


def check_classes(classes: Tensor, source: str) -> None:
    """Check that classes are numbered without a gap.

    Args:
        classes: ``[N]`` int64, of all images.
        source: where they are from, for the message.

    Raises:
        ValueError: if a number between 0 and the largest is no image's.
    """
    found = classes.unique()
    if len(found) != int(found[-1]) + 1:
        gap = int((found != torch.arange(len(found))).nonzero()[0])
        raise ValueError(f'{source} must number its classes 0, 1, 2, ..., each with an image, and goes up to '
                         f'{int(found[-1])} with no image of class {gap}')
