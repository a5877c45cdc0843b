# The protocol of CIFAR-10, CIFAR-100, SUN397 and DTD in small
_base_ = ['./finetune_r50_8xb32_20k_cifar10.py', '../../_base_/digits.py']

max_iters = 100
model = _base_.digits_model
train_dataloader = dict(_base_.digits_workers, batch_size=64, dataset=_base_.digits_train)
val_dataloader = dict(_base_.digits_workers, dataset=_base_.digits_val)
auto_scale_lr = dict(base_batch_size=64)
param_scheduler = [{**_base_.param_scheduler[0], 'end': max_iters}]
train_cfg = dict(max_iters=max_iters, val_interval=25)
default_hooks = dict(_base_.digits_hooks, logger=dict(interval=10))
