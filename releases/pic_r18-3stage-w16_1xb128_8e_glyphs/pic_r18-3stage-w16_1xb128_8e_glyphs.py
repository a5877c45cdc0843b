auto_scale_lr = dict(base_batch_size=128)
bank_dataloader = dict(
    batch_size=128,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        ann_file='train-12000.txt',
        data_prefix='train',
        data_root='data/glyphs',
        pipeline=[
            dict(color_type='grayscale', type='LoadImageFromFile'),
            dict(type='PackInputs'),
        ],
        type='CustomDataset'),
    num_workers=0,
    sampler=dict(shuffle=False, type='DefaultSampler'))
custom_hooks = [
    dict(type='InstanceRowsHook'),
    dict(type='SyncBuffersHook'),
]
custom_imports = dict(
    allow_failed_imports=False,
    imports=[
        'pic_plugin.datasets',
        'pic_plugin.models',
        'pic_plugin.engine',
    ])
default_hooks = dict(
    checkpoint=dict(
        interval=2, max_keep_ckpts=3, type='InstanceCheckpointHook'),
    curves=dict(type='CurvesHook'),
    data_wait=dict(type='DataWaitHook'),
    device=dict(
        channels_last=True,
        float32_matmul_precision='high',
        type='mmpretrain.DeviceSettingsHook'),
    health=dict(type='HealthHook'),
    logger=dict(ignore_last=False, interval=50, type='LoggerHook'),
    param_scheduler=dict(type='ParamSchedulerHook'),
    runtime_info=dict(type='DeferredRuntimeInfoHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    timer=dict(type='IterTimerHook'))
default_scope = 'mmpretrain'
diet_model = dict(
    head=dict(cosine=False, temperature=1.0, uniform_smoothing=0.8),
    neck=dict(_delete_=True, type='GlobalAveragePooling'))
diet_optimizer = dict(
    _delete_=True, fused=True, lr=0.001, type='AdamW', weight_decay=0.05)
env_cfg = dict(
    cudnn_benchmark=True,
    dist_cfg=dict(backend='nccl', timeout=3600),
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
labelled_train = dict(
    ann_file='train-12000.txt',
    data_prefix='train',
    data_root='data/glyphs',
    pipeline=[
        dict(color_type='grayscale', type='LoadImageFromFile'),
        dict(type='PackInputs'),
    ],
    type='CustomDataset')
linear_neck = dict(
    _delete_=True,
    gap_dim=2,
    in_channels=64,
    norm_cfg=None,
    out_channels=64,
    type='LinearNeck')
load = dict(color_type='grayscale', type='LoadImageFromFile')
loader = dict(
    batch_size=128, collate_fn=dict(type='default_collate'), num_workers=0)
log_level = 'INFO'
model = dict(
    backbone=dict(
        base_channels=16,
        depth=18,
        dilations=(
            1,
            1,
            1,
        ),
        in_channels=1,
        num_stages=3,
        out_indices=(2, ),
        stem_channels=16,
        strides=(
            1,
            2,
            2,
        ),
        type='ResNet',
        zero_init_residual=False),
    data_preprocessor=dict(
        mean=[
            76.5,
        ], std=[
            89.25,
        ], type='InstanceDataPreprocessor'),
    head=dict(
        in_channels=64,
        num_negatives=2048,
        temperature=0.1,
        type='CosineInstanceHead'),
    neck=dict(
        hid_channels=256,
        in_channels=64,
        norm_cfg=dict(type='BN1d'),
        num_layers=2,
        out_channels=64,
        type='NonLinearNeck',
        with_avg_pool=True),
    type='PIC')
one_view = [
    dict(color_type='grayscale', type='LoadImageFromFile'),
    dict(
        augmentations=[
            dict(
                degrees=15,
                scale=(
                    0.8,
                    1.25,
                ),
                shear=12,
                translate=(
                    0.08,
                    0.08,
                ),
                type='RandomAffine'),
            dict(p=0.5, scale=(
                0.02,
                0.18,
            ), type='RandomErasing'),
        ],
        type='Augment'),
    dict(type='PackInputs'),
]
optim_wrapper = dict(
    optimizer=dict(
        fused=True, lr=0.24, momentum=0.9, type='SGD', weight_decay=0.0001),
    type='WeightCorrectingOptimWrapper')
pack = dict(type='PackInputs')
param_scheduler = [
    dict(begin=0, by_epoch=False, end=94, start_factor=0.01, type='LinearLR'),
    dict(by_epoch=True, convert_to_iter_based=True, type='CosineAnnealingLR'),
]
part = dict(ann_file='train-12000.txt', with_label=True)
query_dataloader = dict(
    batch_size=128,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        ann_file='test-3000.txt',
        data_prefix='test',
        data_root='data/glyphs',
        pipeline=[
            dict(color_type='grayscale', type='LoadImageFromFile'),
            dict(type='PackInputs'),
        ],
        type='CustomDataset'),
    num_workers=0,
    sampler=dict(shuffle=False, type='DefaultSampler'))
randomness = dict(seed=0)
shift = dict(
    degrees=0, translate=(
        0.08,
        0.08,
    ), type='RandomAffine')
train_cfg = dict(max_epochs=8, type='EpochBasedTrainLoop')
train_dataloader = dict(
    batch_size=128,
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        data_prefix='train',
        data_root='data/glyphs',
        pipeline=[
            dict(color_type='grayscale', type='LoadImageFromFile'),
            dict(
                augmentations=[
                    dict(
                        degrees=15,
                        scale=(
                            0.8,
                            1.25,
                        ),
                        shear=12,
                        translate=(
                            0.08,
                            0.08,
                        ),
                        type='RandomAffine'),
                    dict(p=0.5, scale=(
                        0.02,
                        0.18,
                    ), type='RandomErasing'),
                ],
                type='Augment'),
            dict(type='PackInputs'),
        ],
        type='InstanceDataset'),
    num_workers=0,
    sampler=dict(
        type='SlidingWindowSampler', window_size=4096, window_stride=512))
two_views = [
    dict(color_type='grayscale', type='LoadImageFromFile'),
    dict(
        num_views=[
            2,
        ],
        transforms=[
            [
                dict(
                    augmentations=[
                        dict(
                            degrees=15,
                            scale=(
                                0.8,
                                1.25,
                            ),
                            shear=12,
                            translate=(
                                0.08,
                                0.08,
                            ),
                            type='RandomAffine'),
                        dict(
                            p=0.5, scale=(
                                0.02,
                                0.18,
                            ), type='RandomErasing'),
                    ],
                    type='Augment'),
            ],
        ],
        type='MultiView'),
    dict(type='PackInputs'),
]
view_pipeline = [
    dict(
        augmentations=[
            dict(
                degrees=15,
                scale=(
                    0.8,
                    1.25,
                ),
                shear=12,
                translate=(
                    0.08,
                    0.08,
                ),
                type='RandomAffine'),
            dict(p=0.5, scale=(
                0.02,
                0.18,
            ), type='RandomErasing'),
        ],
        type='Augment'),
]
vis_backends = [
    dict(type='LocalVisBackend'),
]
visualizer = dict(
    type='UniversalVisualizer', vis_backends=[
        dict(type='LocalVisBackend'),
    ])
weak_view = [
    dict(color_type='grayscale', type='LoadImageFromFile'),
    dict(
        augmentations=[
            dict(degrees=0, translate=(
                0.08,
                0.08,
            ), type='RandomAffine'),
        ],
        type='Augment'),
    dict(type='PackInputs'),
]
