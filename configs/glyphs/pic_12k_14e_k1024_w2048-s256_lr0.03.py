_base_ = './pic_12k_14e_k1024_w2048-s256.py'

optim_wrapper = dict(optimizer=dict(lr=0.03))
