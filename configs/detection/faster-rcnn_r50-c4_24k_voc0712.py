# Pascal VOC detection, trainval07+12 and test2007: Cao et al., NeurIPS 2020, Appendix C (Table 8: AP 57.1, AP50 82.4,
# AP75 63.4).  It follows MoCo's recipe (He et al., CVPR 2020, Section 4.2), made with Detectron2; what neither paper
# gives is Detectron2's default for this detector.  8 GPUs x 2 images:
#   CHECKPOINT=backbone.pth tools/dist_train.sh configs/detection/faster-rcnn_r50-c4_24k_voc0712.py 8
_base_ = '../_base_/iter_based_runtime.py'
default_scope = 'mmdet'

max_iters = 24000
data_root = 'data/VOCdevkit/'

# model: conv1 to conv4 are the backbone, conv5 and one more BatchNorm the box head; nothing is frozen
norm_cfg = dict(type='SyncBN', requires_grad=True)
init_cfg = dict(type='Pretrained', checkpoint='{{$CHECKPOINT:none}}')
model = dict(
    type='FasterRCNN',
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True,
        pad_size_divisor=32),
    backbone=dict(
        type='ResNet', depth=50, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2, ),
        frozen_stages=-1, norm_cfg=norm_cfg, norm_eval=False, style='pytorch', init_cfg=init_cfg),
    rpn_head=dict(
        type='RPNHead', in_channels=1024, feat_channels=1024,
        anchor_generator=dict(
            type='AnchorGenerator', scales=[2, 4, 8, 16, 32], ratios=[0.5, 1.0, 2.0], strides=[16]),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0., 0., 0., 0.], target_stds=[1., 1., 1., 1.]),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0)),
    roi_head=dict(
        type='StandardRoIHead',
        shared_head=dict(
            type='ResLayerExtraNorm', depth=50, stage=3, stride=2, dilation=1, style='pytorch', norm_cfg=norm_cfg,
            norm_eval=False, init_cfg=init_cfg),
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor', roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=1024, featmap_strides=[16]),
        bbox_head=dict(
            type='BBoxHead', with_avg_pool=True, roi_feat_size=7, in_channels=2048, num_classes=20,
            bbox_coder=dict(
                type='DeltaXYWHBBoxCoder', target_means=[0., 0., 0., 0.], target_stds=[0.1, 0.1, 0.2, 0.2]),
            reg_class_agnostic=False,
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type='L1Loss', loss_weight=1.0))),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(
                type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3, match_low_quality=True,
                ignore_iof_thr=-1),
            sampler=dict(type='RandomSampler', num=256, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False),
            allowed_border=-1, pos_weight=-1, debug=False),
        rpn_proposal=dict(nms_pre=12000, max_per_img=2000, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(
            assigner=dict(
                type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False,
                ignore_iof_thr=-1),
            sampler=dict(type='RandomSampler', num=512, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
            pos_weight=-1, debug=False)),
    test_cfg=dict(
        rpn=dict(nms_pre=6000, max_per_img=1000, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)))

# data: the shorter side has a length from 480 to 800 in training, 800 in testing
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomChoiceResize', scales=[(1333, side) for side in range(480, 801, 32)], keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),  # after Resize: boxes are compared at the image's own size
    dict(
        type='PackDetInputs',
        # the instances are what CocoMetric takes for the ground truth
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances')),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type='ConcatDataset',
        ignore_keys=['dataset_type'],  # the year, in which the two differ
        datasets=[
            dict(
                type='VOCDataset', data_root=data_root, ann_file=f'VOC{year}/ImageSets/Main/trainval.txt',
                data_prefix=dict(sub_data_root=f'VOC{year}/'), filter_cfg=dict(filter_empty_gt=True),
                pipeline=train_pipeline)
            for year in (2007, 2012)
        ]))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VOCDataset', data_root=data_root, ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'), test_mode=True, pipeline=test_pipeline))

# AP, AP50 and AP75 by two definitions.  COCO's interpolates precision at 101 recalls; CocoMetric takes the ground truth
# from the data set when it is given no file, and difficult objects for crowds.  VOC2007's has 11 recalls; Detectron2
# applies it at COCO's thresholds, so that `pascal_voc/mAP`, `AP50` and `AP75` are what the papers' tables hold.
val_evaluator = [
    dict(type='CocoMetric', metric='bbox', metric_items=['mAP', 'mAP_50', 'mAP_75']),
    dict(type='VOCMetric', iou_thrs=[iou / 100 for iou in range(50, 100, 5)], eval_mode='11points'),
]

# optimizer: without weight decay on BatchNorm, as in Detectron2
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[18000, 22000], gamma=0.1),
]
auto_scale_lr = dict(base_batch_size=16)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=6000)  # the interval is ours
val_cfg = dict(type='ValLoop')

# runtime
visualizer = dict(type='DetLocalVisualizer')
custom_hooks = [
    dict(
        type='mmpretrain.CheckBackboneHook', modules=['backbone', 'roi_head.shared_head'],
        new=['roi_head.shared_head.norm']),
]
