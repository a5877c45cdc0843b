_base_ = './pic_lower_40e_on.py'

optim_wrapper = dict(optimizer=dict(lr=2e-3), paramwise_cfg=dict(custom_keys=dict(neck=dict(lr_mult=1))))
