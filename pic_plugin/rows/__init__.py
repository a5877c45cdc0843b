"""The rows: the table that has them all, and the slots of those that take part in the softmax."""
from .all_rows import AllRows
from .disk import DiskTable
from .hard_classes import HardClasses, HardestOfActive, HardestOfAll
from .memory import MemoryTable
from .recent_rows import RecentRows
from .state import ActiveBatch, RowOptimizer, Rows, RowState
from .table import RowTable

__all__ = ['ActiveBatch', 'AllRows', 'DiskTable', 'HardClasses', 'HardestOfActive', 'HardestOfAll', 'MemoryTable',
           'RecentRows', 'RowOptimizer', 'RowState', 'RowTable', 'Rows']
