_base_ = './pic_1k_40e.py'

train_dataloader = dict(sampler=dict(window_size=128, window_stride=64))
