# DIET (Balestriero, arXiv 2302.10260): all classes, plain softmax, no projection, uniform smoothing of 0.8, AdamW.
# Ours are the rows' SGD, where DIET has AdamW, and PIC's views
_base_ = ['../_base_/instance_runtime.py', '../_base_/imagenet_instances.py', '../_base_/r50_mlp.py']

max_epochs = 1000

model = dict(
    neck=dict(_delete_=True, type='GlobalAveragePooling'),
    head=dict(in_channels=2048, num_negatives=None, cosine=False, temperature=1.0, uniform_smoothing=0.8))
train_dataloader = dict(batch_size=32, sampler=dict(type='SlidingWindowSampler', window_size=None, window_stride=None))

optim_wrapper = dict(
    type='WeightCorrectingOptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05, fused=True),
    row_optimizer=dict(type='SGD', lr=1.0, momentum=0.9, fused=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=10, end=max_epochs, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=256)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs)
