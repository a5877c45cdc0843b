# Cityscapes segmentation, train_fine and val: Cao et al., NeurIPS 2020, Appendix C (Table 8: mIoU 76.6), which follows
# the FCN-16s of MoCo (He et al., CVPR 2020, appendix).  8 GPUs x 1 image:
#   CHECKPOINT=backbone.pth tools/dist_train.sh configs/segmentation/fcn_r50-d16_60k_cityscapes-769x769.py 8
_base_ = '../_base_/iter_based_runtime.py'
default_scope = 'mmseg'

max_iters = 60000
data_root = 'data/cityscapes/'
crop_size = (769, 769)

# model: conv5 keeps conv4's resolution, a 16th of the image's, and its 3x3 convolutions are dilated, the first one too
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True,
        size=crop_size, pad_val=0, seg_pad_val=255),
    backbone=dict(
        type='ResNet', depth=50, num_stages=4, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), contract_dilation=False,
        out_indices=(3, ), norm_cfg=norm_cfg, norm_eval=False, style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='{{$CHECKPOINT:none}}')),
    decode_head=dict(
        type='FCNHead', in_channels=2048, in_index=0, channels=256, num_convs=2, kernel_size=3, dilation=6,
        concat_input=False, dropout_ratio=0., num_classes=19, norm_cfg=norm_cfg,
        align_corners=True,  # ours: a crop of 769 = 48 * 16 + 1 pixels and its 49 features have their corners in common
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'))

# data
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='CityscapesDataset', data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'), pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CityscapesDataset', data_root=data_root,
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'), pipeline=test_pipeline))
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])

# optimizer
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=max_iters, T_max=max_iters)]
auto_scale_lr = dict(base_batch_size=8)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=6000)  # the interval is ours
val_cfg = dict(type='ValLoop')

# runtime
visualizer = dict(type='SegLocalVisualizer')
custom_hooks = [dict(type='mmpretrain.CheckBackboneHook')]
