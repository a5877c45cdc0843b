_base_ = './pic_12k_20e.py'

train_dataloader = dict(dataset=dict(pipeline=_base_.two_views))
train_cfg = dict(max_epochs=10)
