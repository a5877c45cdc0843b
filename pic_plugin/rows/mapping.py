"""Zeros of which nothing exists until it is written: in memory, or in a file."""
import math
import mmap
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import torch


class Mapping:
    """A tensor of zeros that is backed page by page, as it is written.

    In memory it is shared with forked processes: of private memory each page that is written to would be copied while
    a data loader's workers are alive, and the table be there twice.

    In a folder it is a sparse file without a name, which ends with the process.

    Args:
        shape: of the tensor.
        dtype: of the tensor.
        folder: of the file; in memory if None.

    Attributes:
        tensor (Tensor): the zeros.
    """

    def __init__(self, shape: Sequence[int], dtype: torch.dtype, folder: Optional[Path] = None) -> None:
        numel = math.prod(shape)
        num_bytes = max(1, numel * dtype.itemsize)  # there is no mapping of nothing
        self._file = None if folder is None else tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        if self._file is None:
            self._map = mmap.mmap(-1, num_bytes)
        else:
            self._file.truncate(num_bytes)
            self._map = mmap.mmap(self._file.fileno(), num_bytes)
            self._map.madvise(mmap.MADV_RANDOM)  # no reading ahead: the neighbours of a row are not wanted
        self.tensor = torch.frombuffer(self._map, dtype=dtype, count=numel).view(*shape) if numel else \
            torch.empty(shape, dtype=dtype)

    def unmap(self) -> None:
        """Let go of a file's pages: they stay in the page cache, and changed ones are written out in time."""
        self._map.madvise(mmap.MADV_DONTNEED)

    @property
    def bytes_on_disk(self) -> int:
        """What the file takes up."""
        return 0 if self._file is None else os.fstat(self._file.fileno()).st_blocks * 512
