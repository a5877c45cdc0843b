_base_ = './pic_12k_10e_all-classes.py'

train_cfg = dict(max_epochs=5)
