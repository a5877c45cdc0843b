_base_ = './pic_1k_40e.py'

train_dataloader = dict(sampler=dict(window_size=512, window_stride=64))
