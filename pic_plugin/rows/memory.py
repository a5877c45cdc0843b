"""A rank's share of the table in host memory."""
import numpy as np
import torch
from torch import Tensor

from pic_plugin.functional.initial_rows import initial_rows
from pic_plugin.sharding import Block

from .state import RowState

_NEVER = -1  # the clock of a row that was never written


class MemoryTable:
    """Weight, momentum and clock of the rows of one block.

    A row that was never written holds its initial value, which is computed and not stored: its memory is not even
    touched, so the operating system does not back it by pages.

    Args:
        block: the rows of this rank.
        num_channels: D.
        std: standard deviation of the initial weights.
        seed: of the initial weights.
        dtype: of weight and momentum.
    """

    def __init__(self, block: Block, num_channels: int, std: float, seed: int, dtype: torch.dtype) -> None:
        self.block, self.num_channels, self.std, self.seed = block, num_channels, std, seed
        self.stored = RowState(
            _untouched_zeros(len(block), num_channels, dtype), _untouched_zeros(len(block), num_channels, dtype),
            torch.full((len(block), ), _NEVER, dtype=torch.int64))

    def read(self, ids: Tensor) -> RowState:
        """Copies of the rows ``ids[R]`` of the block, as they were written."""
        local = ids - self.block.start
        weight, momentum, clock = (tensor[local] for tensor in self.stored)
        never = (clock == _NEVER).nonzero()[:, 0]
        weight[never] = initial_rows(ids[never], self.num_channels, self.std, self.seed, weight.dtype)
        return RowState(weight, momentum, clock.clamp_(min=0))

    def write(self, ids: Tensor, rows: RowState) -> None:
        """Store ``rows`` as the rows ``ids[R]`` of the block."""
        for stored, new in zip(self.stored, rows):
            stored[ids - self.block.start] = new


def _untouched_zeros(num_rows: int, num_channels: int, dtype: torch.dtype) -> Tensor:
    # calloc, by way of numpy: torch.zeros would write to every page
    num_bytes = num_rows * num_channels * dtype.itemsize
    return torch.from_numpy(np.zeros(num_bytes, np.uint8)).view(dtype).view(num_rows, num_channels)
