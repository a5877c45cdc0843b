# on from the network of digits and capitals, as `pretrain --from` does: rows that start as its features, and a small
# learning rate for the network beside the rows'
_base_ = './pic_lower_40e_prior.py'

start_from = 'pic_capitals_6e'
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='none')))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=0.05, fused=True),
    row_optimizer=_base_.optim_wrapper.optimizer,
    paramwise_cfg=dict(flat_decay_mult=0.0, custom_keys=dict(neck=dict(lr_mult=10))))
custom_hooks = [*_base_.custom_hooks, dict(type='CheckBackboneHook')]
