# 10 % of the labels in small; the learning rates are ours
_base_ = ['./semi_r50_8xb32_10e_in1k-1percent.py', '../../_base_/digits.py']

max_epochs = 20
model = _base_.digits_model
train_dataloader = dict(_base_.digits_workers, batch_size=32, dataset=dict(dataset=_base_.digits_train, subset=0.1))
val_dataloader = dict(_base_.digits_workers, dataset=_base_.digits_val)
optim_wrapper = dict(
    optimizer=dict(lr=0.1), paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))
auto_scale_lr = dict(base_batch_size=32)
param_scheduler = [{**_base_.param_scheduler[0], 'end': max_epochs}]
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
default_hooks = _base_.digits_hooks
