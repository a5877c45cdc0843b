"""The table in host memory."""
import numpy as np
import torch
from torch import Tensor

from pic_plugin.sharding import Block

from .table import RowTable


class MemoryTable(RowTable):
    """A :class:`RowTable` in memory of which only the rows that were written are backed by pages.

    Args:
        block, num_channels, std, seed: as in :class:`RowTable`.
        dtype: of weight and momentum.
    """

    def __init__(self, block: Block, num_channels: int, std: float, seed: int, dtype: torch.dtype) -> None:
        super().__init__(block, num_channels, std, seed,
                         _untouched_zeros(len(block) * 2 * num_channels, dtype).view(-1, 2, num_channels),
                         _untouched_zeros(len(block), torch.int32))


def _untouched_zeros(numel: int, dtype: torch.dtype) -> Tensor:
    # calloc, by way of numpy: torch.zeros would write to every page
    return torch.from_numpy(np.zeros(max(1, numel) * dtype.itemsize, np.uint8)).view(dtype)[:numel]
