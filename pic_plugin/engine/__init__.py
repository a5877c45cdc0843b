"""What drives the training: optimizer wrappers and hooks."""
from .hooks import (
    CheckBackboneHook,
    DeferredRuntimeInfoHook,
    DeviceSettingsHook,
    InstanceCheckpointHook,
    InstanceRowsHook,
    KNNHook,
)
from .optim_wrapper import AmpWeightCorrectingOptimWrapper, WeightCorrectingOptimWrapper

__all__ = [
    'AmpWeightCorrectingOptimWrapper', 'CheckBackboneHook', 'DeferredRuntimeInfoHook', 'DeviceSettingsHook',
    'InstanceCheckpointHook', 'InstanceRowsHook', 'KNNHook', 'WeightCorrectingOptimWrapper'
]
