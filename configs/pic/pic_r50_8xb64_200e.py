# PIC, ResNet-50, 200 epochs of ImageNet-1K: Cao et al., NeurIPS 2020, Appendix C (67.3 % top-1, linear evaluation)
_base_ = '../_base_/default_runtime.py'

max_epochs = 200

# model
model = dict(
    type='PIC',
    data_preprocessor=dict(
        type='SelfSupDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    backbone=dict(type='ResNet', depth=50, zero_init_residual=True),
    neck=dict(type='MoCoV2Neck', in_channels=2048, hid_channels=2048, out_channels=128, with_avg_pool=True),
    head=dict(type='CosineInstanceHead', in_channels=128, num_negatives=65536, temperature=0.2))

# data
view_pipeline = [
    dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(0.2, 1.0), backend='pillow'),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomApply',
        transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)],
        prob=0.8),
    dict(type='RandomGrayscale', prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989)),
    dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=0.5),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='SlidingWindowSampler', window_size=131072, window_stride=16384),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='InstanceDataset',
        data_root='data/imagenet/train',
        pipeline=[dict(type='LoadImageFromFile'), *view_pipeline, dict(type='PackInputs')]))

# optimizer: all parameters, rows included, by one SGD; fused, since the rows are many
optim_wrapper = dict(
    type='WeightCorrectingOptimWrapper',
    optimizer=dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=1e-4, fused=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=5, end=max_epochs, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=512)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs)
