# the labels, and a linear classifier: what the network can do
_base_ = ['../_base_/glyphs.py', '../_base_/default_runtime.py']

model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(_delete_=True, type='ClsDataPreprocessor', mean=[76.5], std=[89.25]),
    neck=dict(_delete_=True, type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=62, in_channels=64))
train_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(_delete_=True, type='CustomDataset', data_root='data/glyphs/train', pipeline=_base_.one_view))
optim_wrapper = dict(type='OptimWrapper')
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(type='CheckpointHook', interval=-1))
