# PIC, ResNet-50, 200 epochs of ImageNet-1K: Cao et al., NeurIPS 2020, Appendix C (67.3 % top-1, linear evaluation)
_base_ = ['../_base_/instance_runtime.py', '../_base_/imagenet_instances.py', '../_base_/r50_mlp.py']

max_epochs = 200

model = dict(head=dict(num_negatives=65536, temperature=0.2))
train_dataloader = dict(sampler=dict(type='SlidingWindowSampler', window_size=131072, window_stride=16384))

# optimizer: all parameters, rows included, by one SGD; fused, since the rows are many
optim_wrapper = dict(
    type='WeightCorrectingOptimWrapper',
    optimizer=dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=1e-4, fused=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=5, end=max_epochs, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=512)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs)
