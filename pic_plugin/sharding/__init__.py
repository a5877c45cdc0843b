"""Rows shared out over the ranks: who owns which, and the softmax over all of them.  torch only."""
from .partition import Block, block_of
from .ranks import Ranks
from .softmax import gather_features, sharded_softmax_loss

__all__ = ['Block', 'Ranks', 'block_of', 'gather_features', 'sharded_softmax_loss']
