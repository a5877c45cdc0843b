# 2,000 small letters of the other half of the families
_base_ = './pic_capitals_6e.py'

train_dataloader = dict(dataset=dict(ann_file='train-lower-2000.txt'))
train_cfg = dict(max_epochs=15)
