"""What drives the training: optimizer wrappers and hooks."""
from .hooks import CheckBackboneHook, InstanceCheckpointHook, InstanceRowsHook, KNNHook
from .optim_wrapper import AmpWeightCorrectingOptimWrapper, WeightCorrectingOptimWrapper

__all__ = [
    'AmpWeightCorrectingOptimWrapper', 'CheckBackboneHook', 'InstanceCheckpointHook', 'InstanceRowsHook', 'KNNHook',
    'WeightCorrectingOptimWrapper'
]
