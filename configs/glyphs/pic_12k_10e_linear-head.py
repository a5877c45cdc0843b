# a projection of one layer
_base_ = './pic_12k_10e_all-classes.py'

model = dict(neck=_base_.linear_neck)
