_base_ = './pic_12k_20e.py'

train_dataloader = dict(sampler=dict(window_size=None, window_stride=None))
train_cfg = dict(max_epochs=40)
