# DIET-CP: on from the network of digits and capitals
_base_ = './diet_lower_40e.py'

start_from = 'pic_capitals_6e'
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='none')))
custom_hooks = [*_base_.custom_hooks, dict(type='CheckBackboneHook')]
