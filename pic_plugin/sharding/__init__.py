"""Rows shared out over the ranks: who owns which, the softmax over all of them, the nearest of them.  torch only."""
from .nearest_rows import nearest_rows_of_all_ranks
from .own_row import own_row_is_nearest
from .partition import Block, block_of
from .ranks import Ranks
from .softmax import gather_features, sharded_softmax_loss

__all__ = [
    'Block', 'Ranks', 'block_of', 'gather_features', 'nearest_rows_of_all_ranks', 'own_row_is_nearest',
    'sharded_softmax_loss'
]
