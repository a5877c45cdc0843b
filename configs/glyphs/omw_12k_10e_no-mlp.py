# a projection of one layer
_base_ = './omw_12k_10e.py'

model = dict(neck=_base_.linear_neck)
