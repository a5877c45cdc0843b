"""A rank's share of the table: what a row's record is, and how it is read and written."""
from collections.abc import Iterator

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

    @staticmethod
    def bytes_per_row(num_channels: int, dtype: torch.dtype) -> int:
        """Of the record and the clock."""
        return 2 * num_channels * dtype.itemsize + torch.int32.itemsize

    def read(self, ids: Tensor) -> RowState:
        """Copies of the rows ``ids[M]`` of the block, as they were written; weight and momentum share memory."""
        local = ids - self.block.start
        clock = self.clocks[local].long() - 1
        never = clock < 0
        if not never.any():
            records = self.records[local]
        else:
            records = self.records.new_zeros(len(ids), *self.records.shape[1:])
            records[~never] = self.records[local[~never]]
            records[never, 0] = initial_rows(ids[never], self.num_channels, self.std, self.seed, records.dtype)
        return RowState(records[:, 0], records[:, 1], clock.clamp_(min=0))

    def write(self, ids: Tensor, rows: RowState) -> None:
        """Store ``rows`` as the rows ``ids[M]`` of the block, none of which comes twice."""
        local = ids - self.block.start
        self.records[local] = torch.stack([rows.weight, rows.momentum], 1)
        self.clocks[local] = (rows.clock + 1).int()

    def prefetch(self, ids: Tensor) -> None:
        """Told that the rows ``ids[M]`` will be read soon."""

    def changed_ids(self, since: int) -> Iterator[Tensor]:
        """The rows that were written with more than ``since`` steps (-1: at all), rising, up to PIECE_ROWS at once."""
        waiting = torch.empty(0, dtype=torch.int64)
        for start in range(0, len(self.block), _SCANNED_ROWS):
            found = (self.clocks[start:start + _SCANNED_ROWS] > since + 1).nonzero()[:, 0]
            waiting = torch.cat([waiting, found + (self.block.start + start)])
            while len(waiting) >= PIECE_ROWS:
                yield waiting[:PIECE_ROWS]
                waiting = waiting[PIECE_ROWS:]
        if len(waiting):
            yield waiting
