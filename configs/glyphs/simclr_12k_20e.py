_base_ = './simclr_12k_10e.py'

train_cfg = dict(max_epochs=20)
