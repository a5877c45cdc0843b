_base_ = './pic_all_5e.py'

train_cfg = dict(max_epochs=2)
