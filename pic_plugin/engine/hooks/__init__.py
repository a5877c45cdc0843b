"""Hooks: what moves rows, what saves them, and what is watched during training."""
from .check_backbone_hook import CheckBackboneHook
from .contrastive_prior_hook import ContrastivePriorHook
from .data_wait_hook import DataWaitHook
from .device_settings_hook import DeviceSettingsHook
from .instance_checkpoint_hook import InstanceCheckpointHook
from .instance_rows_hook import InstanceRowsHook
from .knn_hook import KNNHook
from .runtime_info_hook import DeferredRuntimeInfoHook

__all__ = [
    'CheckBackboneHook', 'ContrastivePriorHook', 'DataWaitHook', 'DeferredRuntimeInfoHook', 'DeviceSettingsHook',
    'InstanceCheckpointHook', 'InstanceRowsHook', 'KNNHook'
]
