# Table 3: a window of 131,072 images moved by 32,768; 66.9 % top-1
_base_ = './pic_r50_8xb64_200e.py'

train_dataloader = dict(sampler=dict(window_stride=32768))
