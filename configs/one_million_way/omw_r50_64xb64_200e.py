# full instance classification, ResNet-50, 200 epochs of ImageNet-1K: Liu et al., "Train a One-Million-Way Instance
# Classifier for Unsupervised Visual Representation Learning", AAAI 2021 (68.2 % top-1, linear evaluation, Table 2)
_base_ = ['../_base_/instance_runtime.py', '../_base_/imagenet_instances.py', '../_base_/r50_mlp.py']

max_epochs = 200

# all classes in the softmax, their rows shared out over the GPUs
model = dict(head=dict(num_negatives=None, temperature=0.15, label_smoothing=0.2, num_hard_classes=100))
train_dataloader = dict(
    sampler=dict(type='SlidingWindowSampler', window_size=None, window_stride=None),  # each image once per epoch
    dataset=dict(pipeline=_base_.two_views))

# optimizer: all parameters, rows included, by one SGD; fused, since the rows are many
optim_wrapper = dict(
    type='WeightCorrectingOptimWrapper',
    optimizer=dict(type='SGD', lr=0.48, momentum=0.9, weight_decay=1e-4, fused=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=10, end=max_epochs, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=4096)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs)

# runtime
custom_hooks = [*_base_.custom_hooks, dict(type='ContrastivePriorHook')]
