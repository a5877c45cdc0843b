# all images; a window of a tenth of them, and half a window of negatives
_base_ = ['../_base_/glyphs.py', '../_base_/instance_runtime.py']

model = dict(type='PIC', head=dict(type='CosineInstanceHead', in_channels=64, num_negatives=2048, temperature=0.2))
train_dataloader = dict(
    sampler=dict(type='SlidingWindowSampler', window_size=4096, window_stride=512),
    dataset=dict(ann_file='', with_label=False))
optim_wrapper = dict(type='WeightCorrectingOptimWrapper', optimizer=dict(fused=True))
train_cfg = dict(max_epochs=5)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=-1))
