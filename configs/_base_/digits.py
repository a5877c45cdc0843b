# The quickstart's digits with their labels, and its network: what the protocols in small put in place of ImageNet's
digits_model = dict(
    data_preprocessor=dict(mean=[78.0], std=[96.0], to_rgb=False),
    backbone=dict(
        type='ResNet_CIFAR', depth=18, in_channels=1, stem_channels=32, base_channels=32, num_stages=3,
        strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2, ), zero_init_residual=False),
    head=dict(num_classes=10, in_channels=128))
digits_pipeline = [
    dict(type='LoadImageFromFile', color_type='grayscale'),
    dict(type='Resize', scale=16, interpolation='bicubic'),
    dict(type='PackInputs'),
]
digits_train = dict(_delete_=True, type='CustomDataset', data_root='data/digits/train', pipeline=digits_pipeline)
digits_val = dict(_delete_=True, type='CustomDataset', data_root='data/digits/test', pipeline=digits_pipeline)
digits_workers = dict(num_workers=0, persistent_workers=False, pin_memory=False)
digits_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=1000))
