# ResNet-50 and a two-layer projection head, which both papers train
model = dict(
    type='PIC',
    data_preprocessor=dict(
        type='InstanceDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    backbone=dict(type='ResNet', depth=50, zero_init_residual=True),
    neck=dict(type='MoCoV2Neck', in_channels=2048, hid_channels=2048, out_channels=128, with_avg_pool=True),
    head=dict(type='CosineInstanceHead', in_channels=128))
