# each image once per epoch
_base_ = './pic_all_4e.py'

train_dataloader = dict(sampler=dict(window_size=None, window_stride=None))
