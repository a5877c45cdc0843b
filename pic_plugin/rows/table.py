"""A rank's share of the table: what a row's record is, and how it is read and written."""
from collections.abc import Iterator
from typing import Optional

import numpy as np
import torch
from torch import Tensor

from pic_plugin.functional.initial_rows import initial_rows
from pic_plugin.sharding import Block

from .state import RowState

_SCANNED_ROWS = 1 << 22  # clocks that are looked at at once
PIECE_ROWS = 1 << 16  # rows that a checkpoint handles at once


class RowTable:
    """Weight, momentum and clock of the rows of one block; a kind of table says where they lie.

    A row that was never written holds its initial value, which is computed and not stored: its record is not even
    touched.

    Records are copied by numpy, each in one piece: a thread does that while the step computes, and torch would set
    several to work, which, with more threads than cores, would put the step's own to sleep.

    Args:
        block: the rows of this rank.
        num_channels: D.
        std: standard deviation of the initial weights.
        seed: of the initial weights.
        records: ``[n_r, 2, D]``, zeros: weight and momentum of a row, side by side.
        clocks: ``[n_r]`` int32, zeros: 1 + the row's clock; 0 where it was never written.
    """

    def __init__(self, block: Block, num_channels: int, std: float, seed: int, records: Tensor,
                 clocks: Tensor) -> None:
        self.block, self.num_channels, self.std, self.seed = block, num_channels, std, seed
        self.records, self.clocks = records, clocks
        self._record_array, self._clock_array = _whole(records), clocks.numpy()
        self._half_array = _whole(records.flatten(0, 1)).reshape(-1, 2)  # weight, momentum

    @staticmethod
    def bytes_per_row(num_channels: int, dtype: torch.dtype) -> int:
        """The bytes of a row's record and clock."""
        return 2 * num_channels * dtype.itemsize + torch.int32.itemsize

    def read(self, ids: Tensor, records: Optional[Tensor] = None) -> RowState:
        """Copies of the rows ``ids[M]`` of the block, as they were written.

        Args:
            ids: ``[M]`` int64.
            records: ``[M, 2, D]``, memory for weight and momentum, side by side; allocated if None.
        """
        if records is None:
            records = self.records.new_empty(len(ids), *self.records.shape[1:])
        local = (ids - self.block.start).numpy()
        clock = torch.from_numpy(self._clock_array[local]).long() - 1
        never = clock < 0
        if not never.any():
            np.take(self._record_array, local, out=_whole(records), mode='clip')
        else:
            _whole(records)[~never.numpy()] = self._record_array[local[~never.numpy()]]
            records[never, 0] = initial_rows(ids[never], self.num_channels, self.std, self.seed, records.dtype)
            records[never, 1] = 0
        return RowState(records[:, 0], records[:, 1], clock.clamp_(min=0))

    def write(self, ids: Tensor, rows: RowState) -> None:
        """Store ``rows`` as the rows ``ids[M]`` of the block, none of which comes twice."""
        local = (ids - self.block.start).numpy()
        self._half_array[local, 0] = _whole(rows.weight)
        self._half_array[local, 1] = _whole(rows.momentum)
        self._clock_array[local] = rows.clock.numpy() + 1

    def changed_ids(self, since: int) -> Iterator[Tensor]:
        """The rows that were written with ``since`` steps or more (0: at all), rising, up to PIECE_ROWS at once."""
        waiting = torch.empty(0, dtype=torch.int64)
        for start in range(0, len(self.block), _SCANNED_ROWS):
            found = (self.clocks[start:start + _SCANNED_ROWS] > since).nonzero()[:, 0]
            waiting = torch.cat([waiting, found + (self.block.start + start)])
            while len(waiting) >= PIECE_ROWS:
                yield waiting[:PIECE_ROWS]
                waiting = waiting[PIECE_ROWS:]
        if len(waiting):
            yield waiting


def _whole(records: Tensor) -> np.ndarray:
    """``[n]``: each of ``records[n, ...]`` one element, which is copied in one piece; in the same memory."""
    raw = records.flatten(1).view(torch.uint8).numpy()
    return raw.view(np.dtype((np.void, raw.shape[1])))[:, 0]
