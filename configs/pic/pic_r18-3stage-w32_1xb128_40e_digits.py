# PIC on scikit-learn's handwritten digits, in a few minutes on two CPU cores
_base_ = '../_base_/instance_runtime.py'

max_epochs = 40
data_root = 'data/digits/'
resolution = 16

# model
model = dict(
    type='PIC',
    data_preprocessor=dict(type='InstanceDataPreprocessor', mean=[78.0], std=[96.0]),
    backbone=dict(
        type='ResNet_CIFAR', depth=18, in_channels=1, stem_channels=32, base_channels=32, num_stages=3,
        strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2, ), zero_init_residual=False),
    # with BatchNorm, unlike the paper's: within so few iterations nothing is learnt without it
    neck=dict(
        type='NonLinearNeck', in_channels=128, hid_channels=256, out_channels=64, num_layers=2, with_avg_pool=True,
        norm_cfg=dict(type='BN1d')),
    head=dict(type='CosineInstanceHead', in_channels=64, num_negatives=1024, temperature=0.2))

# data
load = dict(type='LoadImageFromFile', color_type='grayscale')
resize = dict(type='Resize', scale=resolution, interpolation='bicubic')
augment = dict(
    type='Augment',
    augmentations=[
        dict(type='RandomAffine', degrees=10, translate=(0.08, 0.08), scale=(0.85, 1.15), shear=10),
        dict(type='RandomErasing', p=0.5, scale=(0.05, 0.25)),
    ])
train_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='SlidingWindowSampler', window_size=512, window_stride=128),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='InstanceDataset', data_root=data_root + 'train',
        pipeline=[load, resize, augment, dict(type='PackInputs')]))
bank_dataloader = dict(
    batch_size=256,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='CustomDataset', data_root=data_root + 'train', pipeline=[load, resize, dict(type='PackInputs')]))
query_dataloader = {**bank_dataloader, 'dataset': {**bank_dataloader['dataset'], 'data_root': data_root + 'test'}}

# optimizer: all parameters, rows included, by one SGD; fused, since the rows are many
optim_wrapper = dict(
    type='WeightCorrectingOptimWrapper',
    optimizer=dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=1e-4, fused=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=2, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=2, end=max_epochs, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=128)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs)

# runtime
default_hooks = dict(logger=dict(interval=12), checkpoint=dict(interval=4))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='KNNHook', interval=4, bank_dataloader=bank_dataloader, query_dataloader=query_dataloader),
]
