# the network as it starts, on small letters
_base_ = './pic_lower_40e.py'

train_cfg = dict(max_epochs=0)
