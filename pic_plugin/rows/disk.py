"""The table on disk: sparse files, mapped into memory."""
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Optional

import torch
from torch import Tensor

from pic_plugin.sharding import Block

from .mapping import Mapping
from .state import RowState
from .table import RowTable

_MAPPED_ROWS = 1 << 11  # after so many writes the pages are unmapped, or the process would come to hold the whole file


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
        self._thread = ThreadPoolExecutor(1, 'DiskTable')
        self._written: Optional[Future] = None
        self._rows_until_unmapped = _MAPPED_ROWS

    def read(self, ids: Tensor) -> RowState:
        """Copies of the rows, after everything that was written."""
        self.finish_writing()
        return super().read(ids)

    def write(self, ids: Tensor, rows: RowState) -> None:
        """Store ``rows``, which must not be changed after; returns before it is done, but after the write before."""
        self.finish_writing()
        self._written = self._thread.submit(self._write, ids, rows)

    def prefetch(self, ids: Tensor) -> None:
        """Have the rows' pages read from the disk in the background."""
        self._thread.submit(self._touch, ids)

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

    def _write(self, ids: Tensor, rows: RowState) -> None:
        super().write(ids, rows)
        self._rows_until_unmapped -= len(ids)
        if self._rows_until_unmapped <= 0:
            self._rows_until_unmapped = _MAPPED_ROWS
            for file in self._files:
                file.unmap()

    def _touch(self, ids: Tensor) -> None:
        local = ids - self.block.start
        local = local[self.clocks[local] > 0]
        if len(local):  # a record may lie in two pages
            self.records.flatten(1)[local[:, None], torch.tensor([0, -1])]
