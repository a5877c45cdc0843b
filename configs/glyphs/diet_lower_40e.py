# DIET of the 500 small letters
_base_ = './pic_lower_40e.py'

model = _base_.diet_model
optim_wrapper = dict(
    optimizer=_base_.diet_optimizer, row_optimizer=dict(type='SGD', lr=1.0, momentum=0.9, fused=True))
