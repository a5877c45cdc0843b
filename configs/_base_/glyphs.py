# Letters and digits of free fonts (tools/dataset_converters/write_glyphs.py), and a network for which one core takes a
# quarter of a millisecond per image
# model: the first three stages of a ResNet-18, a quarter as wide
model = dict(
    data_preprocessor=dict(type='InstanceDataPreprocessor', mean=[76.5], std=[89.25]),
    backbone=dict(
        type='ResNet', depth=18, in_channels=1, stem_channels=16, base_channels=16, num_stages=3, strides=(1, 2, 2),
        dilations=(1, 1, 1), out_indices=(2, ), zero_init_residual=False),
    # with BatchNorm, unlike the papers': within so few iterations nothing is learnt without it
    neck=dict(
        type='NonLinearNeck', in_channels=64, hid_channels=256, out_channels=64, num_layers=2, with_avg_pool=True,
        norm_cfg=dict(type='BN1d')))

linear_neck = dict(type='LinearNeck', in_channels=64, out_channels=64, gap_dim=2, norm_cfg=None, _delete_=True)
# DIET's: plain softmax, no projection, uniform smoothing of 0.8, AdamW; ours is that the rows have SGD
diet_model = dict(
    neck=dict(type='GlobalAveragePooling', _delete_=True),
    head=dict(cosine=False, temperature=1.0, uniform_smoothing=0.8))
diet_optimizer = dict(type='AdamW', lr=1e-3, weight_decay=0.05, fused=True, _delete_=True)

# data
load = dict(type='LoadImageFromFile', color_type='grayscale')
shift = dict(type='RandomAffine', degrees=0, translate=(0.08, 0.08))
view_pipeline = [
    dict(
        type='Augment',
        augmentations=[
            dict(type='RandomAffine', degrees=15, translate=(0.08, 0.08), scale=(0.8, 1.25), shear=12),
            dict(type='RandomErasing', p=0.5, scale=(0.02, 0.18)),
        ]),
]
pack = dict(type='PackInputs')
one_view = [load, *view_pipeline, pack]
weak_view = [load, dict(type='Augment', augmentations=[shift]), pack]
two_views = [load, dict(type='MultiView', num_views=[2], transforms=[view_pipeline]), pack]
loader = dict(batch_size=128, num_workers=0, collate_fn=dict(type='default_collate'))
train_dataloader = dict(
    **loader,
    dataset=dict(type='InstanceDataset', data_root='data/glyphs', data_prefix='train', pipeline=one_view))
part = dict(ann_file='train-12000.txt', with_label=True)  # of the data set
labelled_train = dict(
    type='CustomDataset', data_root='data/glyphs', data_prefix='train', ann_file='train-12000.txt',
    pipeline=[load, pack])
bank_dataloader = dict(**loader, sampler=dict(type='DefaultSampler', shuffle=False), dataset=labelled_train)
query_dataloader = {
    **bank_dataloader, 'dataset': {**labelled_train, 'data_prefix': 'test', 'ann_file': 'test-3000.txt'}}

# over the training's length, whatever it is, after a warm-up
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=94),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=4)
