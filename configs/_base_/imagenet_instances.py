# ImageNet's images without labels, and the views of both papers: MoCo v2's augmentations
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
load = dict(type='LoadImageFromFile')
one_view = [load, *view_pipeline, dict(type='PackInputs')]
two_views = [load, dict(type='MultiView', num_views=[2], transforms=[view_pipeline]), dict(type='PackInputs')]
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='InstanceDataset', data_root='data/imagenet/train', pipeline=one_view))
