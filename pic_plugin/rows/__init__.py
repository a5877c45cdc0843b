"""The table of rows: where they live, and which of them are at hand for the softmax."""
from .all_rows import AllRows
from .disk import DiskTable
from .hard_classes import HardClasses, HardestOfActive, HardestOfAll
from .memory import MemoryTable
from .recent_rows import RecentRows
from .state import ActiveBatch, RowOptimizer, Rows, RowState
from .table import RowTable

__all__ = ['ActiveBatch', 'AllRows', 'DiskTable', 'HardClasses', 'HardestOfActive', 'HardestOfAll', 'MemoryTable',
           'RecentRows', 'RowOptimizer', 'RowState', 'RowTable', 'Rows']
