_base_ = './simclr_all_2e.py'

train_cfg = dict(max_epochs=4)
