default_scope = 'mmpretrain'
custom_imports = dict(
    imports=['pic_plugin.datasets', 'pic_plugin.models', 'pic_plugin.engine'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100, ignore_last=False),  # how an epoch ends is logged, too
    param_scheduler=dict(type='ParamSchedulerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    device=dict(type='mmpretrain.DeviceSettingsHook', float32_matmul_precision='high'))

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl', timeout=3600))  # seconds: ranks wait while one of them writes a checkpoint
# also dict(type='TensorboardVisBackend') (pip install tensorboard), WandbVisBackend or MLflowVisBackend:
# visualizer = dict(vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='UniversalVisualizer', vis_backends=vis_backends)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=0)
