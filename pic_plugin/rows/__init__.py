"""The table of rows: where they live, and which of them are at hand for the softmax."""
from .all_rows import AllRows
from .disk import DiskTable
from .memory import MemoryTable
from .recent_rows import RecentRows
from .state import RowState
from .table import RowTable

__all__ = ['AllRows', 'DiskTable', 'MemoryTable', 'RecentRows', 'RowState', 'RowTable']
