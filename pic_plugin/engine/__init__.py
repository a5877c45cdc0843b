"""What drives the training: optimizer wrappers and hooks."""
from .hooks import InstanceCheckpointHook, InstanceRowsHook, KNNHook
from .optim_wrapper import AmpWeightCorrectingOptimWrapper, WeightCorrectingOptimWrapper

__all__ = [
    'AmpWeightCorrectingOptimWrapper', 'InstanceCheckpointHook', 'InstanceRowsHook', 'KNNHook',
    'WeightCorrectingOptimWrapper'
]
