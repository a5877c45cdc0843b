_base_ = './pic_1k_40e.py'

train_cfg = dict(max_epochs=80)
