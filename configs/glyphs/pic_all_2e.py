_base_ = './pic_all_4e.py'

train_cfg = dict(max_epochs=2)
