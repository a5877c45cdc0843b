_base_ = './pic_all_4e.py'

train_dataloader = dict(sampler=dict(window_size=None, window_stride=None))
train_cfg = dict(max_epochs=2)
