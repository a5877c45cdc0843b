"""The table of rows: where they live, and which of them are at hand for the softmax."""
from .all_rows import AllRows
from .memory import MemoryTable
from .recent_rows import RecentRows
from .state import RowState

__all__ = ['AllRows', 'MemoryTable', 'RecentRows', 'RowState']
