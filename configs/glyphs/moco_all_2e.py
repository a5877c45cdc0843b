# mmpretrain's MoCo with v2's projection head: two views, each image once per epoch, in PIC's order
_base_ = ['../_base_/glyphs.py', '../_base_/default_runtime.py']

model = dict(
    type='MoCo', queue_len=4096, feat_dim=64, momentum=0.01,
    head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2))
train_dataloader = dict(
    sampler=dict(type='SlidingWindowSampler', window_size=None, window_stride=None, batch_size=128),
    dataset=dict(pipeline=_base_.two_views))
optim_wrapper = dict(type='OptimWrapper')
train_cfg = dict(max_epochs=2)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(type='CheckpointHook', interval=-1))
