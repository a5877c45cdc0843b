# images are shifted, and no more
_base_ = './pic_12k_20e.py'

model = dict(head=dict(num_negatives=None))
train_dataloader = dict(
    sampler=dict(window_size=None, window_stride=None), dataset=dict(pipeline=_base_.weak_view))
