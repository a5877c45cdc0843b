# Table 3: a window of 65,536 images moved by 16,384; 66.8 % top-1
_base_ = './pic_r50_8xb64_200e.py'

train_dataloader = dict(sampler=dict(window_size=65536))
