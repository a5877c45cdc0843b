# pre-training: the rows of the instances are moved, watched and saved with the network
_base_ = './default_runtime.py'

env_cfg = dict(cudnn_benchmark=True)
default_hooks = dict(
    device=dict(channels_last=True),
    runtime_info=dict(type='DeferredRuntimeInfoHook'),
    health=dict(type='HealthHook'),
    curves=dict(type='CurvesHook'),
    data_wait=dict(type='DataWaitHook'),
    checkpoint=dict(type='InstanceCheckpointHook', interval=10, max_keep_ckpts=3))
custom_hooks = [
    dict(type='InstanceRowsHook'),
    # each rank has BatchNorm statistics of its own: average them before they are used or saved
    dict(type='SyncBuffersHook'),
]
