# images are shifted, and no more
_base_ = './pic_12k_10e_all-classes.py'

train_dataloader = dict(dataset=dict(pipeline=_base_.weak_view))
