# Table 3: a window of 262,144 images moved by 16,384; 67.3 % top-1
_base_ = './pic_r50_8xb64_200e.py'

train_dataloader = dict(sampler=dict(window_size=262144))
