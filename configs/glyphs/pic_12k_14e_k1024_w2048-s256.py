# 12,000 images: what is chosen for so many, in 14 epochs
_base_ = './pic_12k_14e_k1024_w2048-s512.py'

train_dataloader = dict(sampler=dict(window_stride=256))
