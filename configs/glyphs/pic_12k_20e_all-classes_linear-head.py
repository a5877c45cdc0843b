# a projection of one layer
_base_ = './pic_12k_20e.py'

model = dict(neck=_base_.linear_neck, head=dict(num_negatives=None))
train_dataloader = dict(sampler=dict(window_size=None, window_stride=None))
