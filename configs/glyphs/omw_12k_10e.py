# full instance classification of 12,000 images, each once per epoch: prior and smoothing
_base_ = ['../_base_/glyphs.py', '../_base_/instance_runtime.py']

model = dict(
    type='PIC',
    head=dict(
        type='CosineInstanceHead', in_channels=64, num_negatives=None, temperature=0.15, label_smoothing=0.2,
        num_hard_classes=10))
train_dataloader = dict(
    sampler=dict(type='SlidingWindowSampler', window_size=None, window_stride=None), dataset=_base_.part)
optim_wrapper = dict(type='WeightCorrectingOptimWrapper', optimizer=dict(fused=True))
train_cfg = dict(max_epochs=10)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=-1))
custom_hooks = [*_base_.custom_hooks, dict(type='ContrastivePriorHook')]
