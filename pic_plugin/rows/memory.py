"""The table in host memory."""
import torch

from pic_plugin.sharding import Block

from .mapping import Mapping
from .table import RowTable


class MemoryTable(RowTable):
    """A :class:`RowTable` in memory of which only the rows that were written are backed by pages.

    Args:
        block, num_channels, std, seed: as in :class:`RowTable`.
        dtype: of weight and momentum.
    """

    def __init__(self, block: Block, num_channels: int, std: float, seed: int, dtype: torch.dtype) -> None:
        records = Mapping((len(block), 2, num_channels), dtype).tensor
        super().__init__(block, num_channels, std, seed, records, Mapping((len(block), ), torch.int32).tensor)
