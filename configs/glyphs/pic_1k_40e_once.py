_base_ = './pic_1k_40e.py'

train_dataloader = dict(sampler=dict(window_size=None, window_stride=None))
