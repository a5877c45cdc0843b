# Table 3: a window of 131,072 images moved by 8,192; 67.1 % top-1
_base_ = './pic_r50_8xb64_200e.py'

train_dataloader = dict(sampler=dict(window_stride=8192))
