# PIC: a window over a tenth of the images, and half a window of negatives
_base_ = ['../_base_/glyphs.py', '../_base_/instance_runtime.py']

model = dict(type='PIC', head=dict(type='CosineInstanceHead', in_channels=64, num_negatives=2048, temperature=0.2))
train_dataloader = dict(sampler=dict(type='SlidingWindowSampler', window_size=4096, window_stride=512))
optim_wrapper = dict(type='WeightCorrectingOptimWrapper', optimizer=dict(fused=True))
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=-1))
