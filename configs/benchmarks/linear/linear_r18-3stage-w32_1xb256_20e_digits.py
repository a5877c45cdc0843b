# Linear evaluation in small; at 30 the softmax of so few features saturates, so the learning rate is ours
_base_ = ['./linear_r50_8xb32_100e_in1k.py', '../../_base_/digits.py']

max_epochs = 20
model = {**_base_.digits_model, 'backbone': dict(_base_.digits_model.backbone, frozen_stages=3)}
train_dataloader = dict(_base_.digits_workers, batch_size=256, dataset=_base_.digits_train)
val_dataloader = dict(_base_.digits_workers, dataset=_base_.digits_val)
optim_wrapper = dict(optimizer=dict(lr=0.3))
param_scheduler = [{**_base_.param_scheduler[0], 'end': max_epochs}]
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
default_hooks = _base_.digits_hooks
