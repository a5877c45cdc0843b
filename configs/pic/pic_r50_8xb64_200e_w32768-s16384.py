# Table 3: a window of 32,768 images moved by 16,384; 66.2 % top-1
_base_ = './pic_r50_8xb64_200e.py'

train_dataloader = dict(sampler=dict(window_size=32768))
