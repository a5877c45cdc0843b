_base_ = './pic_12k_14e_k1024_w2048-s256.py'

train_dataloader = dict(sampler=dict(window_size=4096, window_stride=256))
