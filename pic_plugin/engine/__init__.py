"""What drives the training: optimizer wrappers and hooks."""
from .hooks import (
    CheckBackboneHook,
    CurvesHook,
    DeferredRuntimeInfoHook,
    DeviceSettingsHook,
    HealthHook,
    InstanceCheckpointHook,
    InstanceRowsHook,
    KNNHook,
)
from .optim_wrapper import AmpWeightCorrectingOptimWrapper, WeightCorrectingOptimWrapper

__all__ = [
    'AmpWeightCorrectingOptimWrapper', 'CheckBackboneHook', 'CurvesHook', 'DeferredRuntimeInfoHook',
    'DeviceSettingsHook', 'HealthHook', 'InstanceCheckpointHook', 'InstanceRowsHook', 'KNNHook',
    'WeightCorrectingOptimWrapper'
]
