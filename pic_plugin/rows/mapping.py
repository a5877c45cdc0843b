"""Sparse tensors of zeros, in memory or in a file: a page exists only once it is written."""
import math
import mmap
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import numpy as np
import torch


class Mapping:
    """A tensor of zeros that is backed page by page, as it is written.

    In memory it is shared with forked processes: of private memory each page that is written to would be copied while
    a data loader's workers are alive, and the table be there twice.

    In a folder it is a sparse file without a name, which ends with the process.  Writing to a page for which the disk
    has no room would kill the process (SIGBUS): :meth:`reserve` comes before.

    Args:
        shape: of the tensor.
        dtype: of the tensor.
        folder: of the file; in memory if None.

    Attributes:
        tensor (Tensor): the zeros.

    Raises:
        OSError: if the folder cannot hold a file of that size.
    """

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, folder: Optional[Path] = None) -> None:
        numel = math.prod(shape)
        num_bytes = max(1, numel * dtype.itemsize)  # there is no mapping of nothing
        self._folder, self._row_bytes = folder, num_bytes // max(1, shape[0])
        self._file = None if folder is None else tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        if self._file is None:
            self._map = mmap.mmap(-1, num_bytes)
        else:
            self._file.truncate(num_bytes)
            self._map = mmap.mmap(self._file.fileno(), num_bytes)
            self._map.madvise(mmap.MADV_RANDOM)  # no reading ahead: the neighbours of a row are not wanted
        self.tensor = torch.frombuffer(self._map, dtype=dtype, count=numel).view(*shape) if numel else \
            torch.empty(shape, dtype=dtype)

    def reserve(self, rows: Optional[np.ndarray] = None) -> None:
        """Have the disk give a file room, in whole pages, so that they can be written to.

        Args:
            rows: ``[M]`` int64, rising, indices of the first dimension; all if None.

        Raises:
            OSError: if there is no room.
        """
        if self._file is None or (rows is not None and not len(rows)):
            return
        if rows is None:
            first, last = np.zeros(1, np.int64), np.array([(len(self._map) - 1) // mmap.PAGESIZE])
        else:
            first = rows * self._row_bytes // mmap.PAGESIZE
            last = ((rows + 1) * self._row_bytes - 1) // mmap.PAGESIZE
        apart = first[1:] > last[:-1] + 1  # rows that touch the next page are asked for with it: one call for a run
        for start, end in zip(first[np.r_[True, apart]] * mmap.PAGESIZE,
                              (last[np.r_[apart, True]] + 1) * mmap.PAGESIZE):
            try:
                os.posix_fallocate(self._file.fileno(), start, end - start)
            except OSError as error:
                raise OSError(error.errno, f'the table of rows in {self._folder} cannot grow: {error.strerror}; make '
                                           'room there, or set model.head.table_dir to a folder on a larger local '
                                           'disk') from error

    def unmap(self) -> None:
        """Let go of a file's pages: they stay in the page cache, and changed ones are written out in time."""
        self._map.madvise(mmap.MADV_DONTNEED)

    @property
    def bytes_on_disk(self) -> int:
        """What the file takes up."""
        return 0 if self._file is None else os.fstat(self._file.fileno()).st_blocks * 512
