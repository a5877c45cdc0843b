# on from that network, by the SGD and the learning rate that training from scratch has
_base_ = './pic_lower_40e_prior.py'

start_from = 'pic_capitals_6e'
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='none')))
custom_hooks = [*_base_.custom_hooks, dict(type='CheckBackboneHook')]
