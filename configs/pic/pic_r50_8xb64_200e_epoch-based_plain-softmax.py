# Table 1: inner products instead of cosines; 46.5 % top-1
_base_ = './pic_r50_8xb64_200e.py'

model = dict(head=dict(cosine=False, temperature=1.0))
train_dataloader = dict(sampler=dict(window_size=None, window_stride=None))
