_base_ = './moco_all_2e.py'

train_cfg = dict(max_epochs=4)
