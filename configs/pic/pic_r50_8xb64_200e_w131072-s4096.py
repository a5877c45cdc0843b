# Table 3: a window of 131,072 images moved by 4,096; 66.5 % top-1
_base_ = './pic_r50_8xb64_200e.py'

train_dataloader = dict(sampler=dict(window_stride=4096))
