# two views of each image in an iteration
_base_ = './pic_all_4e.py'

train_dataloader = dict(dataset=dict(pipeline=_base_.two_views))
