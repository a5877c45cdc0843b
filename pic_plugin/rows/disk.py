"""The table on disk: sparse files, mapped into memory."""
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Optional

import numpy as np
import torch
from torch import Tensor

from pic_plugin.sharding import Block

from .mapping import Mapping
from .state import RowState
from .table import RowTable

_MAPPED_ROWS = 1 << 11  # after so many rows the pages are unmapped, or the process would come to hold the whole file


class DiskTable(RowTable):
    """A :class:`RowTable` in two sparse files: records, and clocks.

    Rows that were never written take no room on the disk.  What was written or read lately is in the system's page
    cache, which gives way where memory is needed.

    Writes and reads ahead are done by a thread, in order, while the step computes.

    The files have no name: they end with the process, however it ends, and a run that is resumed fills new ones from
    the checkpoint.  So what was written after the checkpoint cannot matter.

    Args:
        block, num_channels, std, seed: as in :class:`RowTable`.
        dtype: of weight and momentum.
        folder: on a local disk; made if it is not there.
    """

    def __init__(self, block: Block, num_channels: int, std: float, seed: int, dtype: torch.dtype,
                 folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        records = Mapping((len(block), 2, num_channels), dtype, folder)
        clocks = Mapping((len(block), ), torch.int32, folder)
        super().__init__(block, num_channels, std, seed, records.tensor, clocks.tensor)
        self._files = records, clocks
        self._record_array, self._clock_array = _whole(records.tensor), clocks.tensor.numpy()
        self._thread = ThreadPoolExecutor(1, 'DiskTable')
        self._written: Optional[Future] = None
        self._rows_until_unmapped = _MAPPED_ROWS

    def read(self, ids: Tensor) -> RowState:
        """Copies of the rows, after everything that was written."""
        self.finish_writing()
        rows = super().read(ids)
        self._unmap_in_time(len(ids))
        return rows

    def write(self, ids: Tensor, rows: RowState) -> None:
        """Store ``rows``; returns before it is done, but after the write before."""
        self.finish_writing()
        records = _whole(torch.stack([rows.weight, rows.momentum], 1))
        self._written = self._thread.submit(self._write, (ids - self.block.start).numpy(), records,
                                            (rows.clock + 1).int().numpy())

    def prefetch(self, ids: Tensor) -> None:
        """Have the rows' pages read from the disk in the background."""
        self._thread.submit(self._touch, (ids - self.block.start).numpy())

    def finish_writing(self) -> None:
        """Wait for what is being written, and raise what went wrong."""
        if self._written is not None:
            self._written.result()
            self._written = None

    def changed_ids(self, since: int) -> Iterator[Tensor]:
        """As of everything that was written."""
        self.finish_writing()
        return super().changed_ids(since)

    @property
    def bytes_on_disk(self) -> int:
        """What the files take up."""
        return sum(file.bytes_on_disk for file in self._files)

    # The thread works with numpy: torch would set several to work, and OpenMP, with more threads than cores, would put
    # the step's own to sleep whenever one of them has to wait, which doubled the time of the whole step.

    def _write(self, local: np.ndarray, records: np.ndarray, clocks: np.ndarray) -> None:
        self._record_array[local] = records
        self._clock_array[local] = clocks
        self._unmap_in_time(len(local))

    def _touch(self, local: np.ndarray) -> None:
        self._record_array[local[self._clock_array[local] > 0]]
        self._unmap_in_time(len(local))

    def _unmap_in_time(self, num_rows: int) -> None:
        # for one row the system maps up to 64 KiB around it, where they are in its cache
        self._rows_until_unmapped -= num_rows
        if self._rows_until_unmapped <= 0:
            self._rows_until_unmapped = _MAPPED_ROWS
            for file in self._files:
                file.unmap()


def _whole(records: Tensor) -> np.ndarray:
    """``[n]``, each record one element, which is copied in one piece; in the same memory."""
    raw = records.flatten(1).view(torch.uint8).numpy()
    return raw.view(np.dtype((np.void, raw.shape[1])))[:, 0]
