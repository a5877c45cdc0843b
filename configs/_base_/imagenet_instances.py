# ImageNet's images without labels, and the views of both papers: MoCo v2's augmentations
crop = dict(size=224, scale=(0.2, 1.0))
augment = dict(
    type='Augment',
    augmentations=[
        dict(type='RandomHorizontalFlip', p=0.5),
        dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
        dict(type='RandomGrayscale', p=0.2),
        dict(type='GaussianBlur', sigma=(0.1, 2.0), p=0.5),
    ])
pack = dict(type='PackInputs')
one_view = [dict(type='DecodeCropResize', crops=crop), augment, pack]
two_views = [dict(type='DecodeCropResize', crops=[crop, crop]), augment, pack]
train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='InstanceDataset', data_root='data/imagenet/train', pipeline=one_view))
