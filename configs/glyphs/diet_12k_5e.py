# DIET of 12,000 pictures, each seen five times
_base_ = './pic_12k_5e_all-classes.py'

model = _base_.diet_model
optim_wrapper = dict(
    optimizer=_base_.diet_optimizer, row_optimizer=dict(type='SGD', lr=0.06, momentum=0.9, fused=True))
