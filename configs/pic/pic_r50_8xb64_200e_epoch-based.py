# each image once per epoch, the ordinary order of the data: 66.2 % top-1 in Table 4, the sliding window 67.3 %
_base_ = './pic_r50_8xb64_200e.py'

train_dataloader = dict(sampler=dict(window_size=None, window_stride=None))
