_base_ = './pic_12k_20e.py'

train_dataloader = dict(sampler=dict(window_size=1024, window_stride=256))
