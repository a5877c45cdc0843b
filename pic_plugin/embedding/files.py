"""Embeddings as files that others read: Parquet, or an array of numpy's with a list of names."""
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Optional

import numpy as np

from pic_plugin.datasets.image_files import printable
from pic_plugin.whole_file import check_new

from .parts import Parts, parts_folder

NameOf = Callable[[int], str]  # of an image


def check_format(out: Path) -> None:
    """Raise a ``ValueError`` unless files of this name can be written, and are not there yet."""
    if out.suffix not in ('.parquet', '.npy'):
        raise ValueError(f'--out must end with .parquet or .npy, got {out}')
    check_new(out)
    if not parts_folder(out).exists():  # or they are what is left of a process that was killed at the very end
        check_new(unreadable_beside(out))
        if out.suffix == '.npy':
            check_new(_names_beside(out))
    if out.suffix == '.parquet' and find_spec('pyarrow') is None:
        raise ValueError(f'{out} needs the package pyarrow: pip install pyarrow; or give a name that ends with .npy')


def _names_beside(out: Path) -> Path:
    return out.with_suffix('.txt')


def unreadable_beside(out: Path) -> Path:
    """The file that names the images that could not be read."""
    return out.with_suffix('.unreadable.txt')


def write_embeddings(out: Path, parts: Parts, path_of: NameOf, label_of: Optional[NameOf]) -> list[str]:
    """Put parts together, one after the other, in the order of the images.

    Args:
        out: the file to write: ``.parquet`` with ``path`` (string), ``embedding`` (fixed-size list of float32) and,
            where there are labels, ``label`` (string), a row group for each part; or ``.npy``, ``[M, C]`` float32, and
            beside it ``.txt``, a path a line.  Where images could not be read, ``.unreadable.txt`` names them.
        parts: all of them.
        path_of: the path of an image.
        label_of: its label.

    Returns:
        list: what could not be read, and why.

    Raises:
        ValueError: if no image could be read.
    """
    unreadable, num_rows = [], 0
    for part in parts:
        unreadable += [f'{printable(path_of(i))} ({error})' for i, error in zip(part.unreadable, part.errors)]
        num_rows += len(part.images)
    if not num_rows:
        raise ValueError(f'none of the {len(unreadable)} images could be read; the first: {unreadable[0]}')
    # beside the parts, with which goes whatever a process leaves that is killed
    inside = parts.folder / out.name
    if unreadable:
        unreadable_beside(inside).write_text('\n'.join(unreadable) + '\n')
    if out.suffix == '.parquet':
        _write_parquet(inside, parts, path_of, label_of)
    else:
        _write_npy(inside, parts, path_of, num_rows)
    for name in (unreadable_beside, _names_beside, Path):  # what is asked for comes last: where it is, all is
        if name(inside).exists():
            with name(inside).open('rb') as file:
                os.fsync(file.fileno())
            os.replace(name(inside), name(out))
    return unreadable


def _write_parquet(out: Path, parts: Parts, path_of: NameOf, label_of: Optional[NameOf]) -> None:
    import pyarrow as pa
    from pyarrow import parquet
    writer = None
    try:
        for part in parts:
            if not len(part.images):
                continue
            flat = pa.array(np.ascontiguousarray(part.embedding).ravel())
            columns = {'path': pa.array([printable(path_of(i)) for i in part.images], pa.string()),
                       'embedding': pa.FixedSizeListArray.from_arrays(flat, part.embedding.shape[1])}
            if label_of is not None:
                columns['label'] = pa.array([printable(label_of(i)) for i in part.images], pa.string())
            table = pa.table(columns)
            if writer is None:
                # numbers that hardly repeat: nothing is gained by a dictionary
                writer = parquet.ParquetWriter(out, table.schema, use_dictionary=['label'])
            writer.write_table(table, row_group_size=len(table))
    finally:
        if writer is not None:
            writer.close()


def _write_npy(out: Path, parts: Parts, path_of: NameOf, num_rows: int) -> None:
    num_channels = max(part.embedding.shape[1] for part in parts)
    with out.open('wb') as array, _names_beside(out).open('wb') as names:
        header = {'descr': '<f4', 'fortran_order': False, 'shape': (num_rows, num_channels)}
        np.lib.format.write_array_header_1_0(array, header)
        for part in parts:
            array.write(part.embedding.astype('<f4').tobytes())
            names.writelines(os.fsencode(path_of(i)) + b'\n' for i in part.images)
