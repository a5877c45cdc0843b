# the Swin as it starts
_base_ = './pic_12k_5e_k1024_w2048-s256_swin.py'

train_cfg = dict(max_epochs=0)
