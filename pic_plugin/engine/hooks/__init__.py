"""Hooks: what moves rows, what saves them, and what is watched during training."""
from .check_backbone_hook import CheckBackboneHook
from .contrastive_prior_hook import ContrastivePriorHook
from .curves_hook import CurvesHook
from .data_wait_hook import DataWaitHook
from .device_settings_hook import DeviceSettingsHook
from .health_hook import HealthHook
from .instance_checkpoint_hook import InstanceCheckpointHook
from .instance_rows_hook import InstanceRowsHook
from .knn_hook import KNNHook
from .runtime_info_hook import DeferredRuntimeInfoHook

__all__ = [
    'CheckBackboneHook', 'ContrastivePriorHook', 'CurvesHook', 'DataWaitHook', 'DeferredRuntimeInfoHook',
    'DeviceSettingsHook', 'HealthHook', 'InstanceCheckpointHook', 'InstanceRowsHook', 'KNNHook'
]
