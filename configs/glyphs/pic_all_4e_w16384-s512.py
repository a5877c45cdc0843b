_base_ = './pic_all_4e.py'

train_dataloader = dict(sampler=dict(window_size=16384, window_stride=512))
