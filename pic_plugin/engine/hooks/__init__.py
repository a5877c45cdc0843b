"""Hooks: what moves rows, what saves them, and what is watched during training."""
from .check_backbone_hook import CheckBackboneHook
from .instance_checkpoint_hook import InstanceCheckpointHook
from .instance_rows_hook import InstanceRowsHook
from .knn_hook import KNNHook

__all__ = ['CheckBackboneHook', 'InstanceCheckpointHook', 'InstanceRowsHook', 'KNNHook']
