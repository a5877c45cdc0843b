# Classification of ImageNet with a ResNet-50 from a checkpoint, which CHECKPOINT=path before the command names
_base_ = './default_runtime.py'

# model
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        type='ClsDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    backbone=dict(
        type='ResNet', depth=50, norm_eval=False, init_cfg=dict(type='Pretrained', checkpoint='{{$CHECKPOINT:none}}')),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=1000, in_channels=2048, topk=(1, 5)))

# data: random resize and crop with random flip; one center crop (Cao et al., Appendix C)
load = dict(type='LoadImageFromFile')
pack = dict(type='PackInputs')
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ImageNet', data_root='data/imagenet', split='train',
        pipeline=[
            load,
            dict(type='RandomResizedCrop', scale=224, backend='pillow'),
            dict(type='RandomFlip', prob=0.5),
            pack,
        ]))
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ImageNet', data_root='data/imagenet', split='val',
        pipeline=[
            load,
            dict(type='ResizeEdge', scale=256, edge='short', backend='pillow'),
            dict(type='CenterCrop', crop_size=224),
            pack,
        ]))
val_evaluator = dict(type='Accuracy', topk=(1, 5))
val_cfg = dict()

# runtime
env_cfg = dict(cudnn_benchmark=True)
default_hooks = dict(
    device=dict(channels_last=True),
    # mmengine deletes the oldest checkpoint before it writes the next: two, so that one is always there
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2))
custom_hooks = [
    dict(type='CheckBackboneHook'),
    # each rank has BatchNorm statistics of its own: average them before they are used or saved
    dict(type='SyncBuffersHook'),
]
