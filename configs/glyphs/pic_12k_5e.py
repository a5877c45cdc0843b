_base_ = './pic_12k_20e.py'

train_cfg = dict(max_epochs=5)
