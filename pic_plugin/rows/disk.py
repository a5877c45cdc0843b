"""The table on disk: sparse files, mapped into memory."""
from pathlib import Path
from typing import Optional

import torch
from torch import Tensor

from pic_plugin.sharding import Block

from .mapping import Mapping
from .state import RowState
from .table import RowTable

_MAPPED_ROWS = 1 << 11  # after so many rows the pages are unmapped, or the process would come to hold the whole file


class DiskTable(RowTable):
    """A :class:`RowTable` in two files: records, and clocks.

    Records that were never written take no room on the disk: it is reserved with a row's first write.  What was
    written or read lately is in the system's page cache, which gives way where memory is needed.

    The files have no name: they end with the process, however it ends, and a run that is resumed fills new ones from
    the checkpoint.  So what was written after the checkpoint cannot matter.

    Args:
        block, num_channels, std, seed: as in :class:`RowTable`.
        dtype: of weight and momentum.
        folder: on a local disk; made if it is not there.

    Raises:
        OSError: if the disk has no room for the clocks, or, later, for a row that is written.
    """

    def __init__(self, block: Block, num_channels: int, std: float, seed: int, dtype: torch.dtype,
                 folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        records = Mapping((len(block), 2, num_channels), dtype, folder)
        clocks = Mapping((len(block), ), torch.int32, folder)
        clocks.reserve()  # all are looked at, and some file systems want room for that too
        super().__init__(block, num_channels, std, seed, records.tensor, clocks.tensor)
        self._files = records, clocks
        self._rows_until_unmapped = _MAPPED_ROWS

    def read(self, ids: Tensor, records: Optional[Tensor] = None) -> RowState:
        """As :meth:`RowTable.read`."""
        rows = super().read(ids, records)
        self._unmap_in_time(len(ids))
        return rows

    def write(self, ids: Tensor, rows: RowState) -> None:
        """As :meth:`RowTable.write`."""
        local = ids - self.block.start
        self._files[0].reserve(local[self.clocks[local] == 0].sort().values.numpy())
        super().write(ids, rows)
        self._unmap_in_time(len(ids))

    @property
    def bytes_on_disk(self) -> int:
        """What the files take up."""
        return sum(file.bytes_on_disk for file in self._files)

    def _unmap_in_time(self, num_rows: int) -> None:
        # for one row the system maps up to 64 KiB around it, where they are in its cache
        self._rows_until_unmapped -= num_rows
        if self._rows_until_unmapped <= 0:
            self._rows_until_unmapped = _MAPPED_ROWS
            for file in self._files:
                file.unmap()
