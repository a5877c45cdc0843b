# the ConvNeXt as it starts
_base_ = './pic_12k_5e_k1024_w2048-s256_convnext.py'

train_cfg = dict(max_epochs=0)
