# 10 % of ImageNet's labels
_base_ = './semi_r50_8xb32_10e_in1k-1percent.py'

max_epochs = 20
classifier_lr = 10.0
train_dataloader = dict(dataset=dict(subset=0.1))
optim_wrapper = dict(
    optimizer=dict(lr=classifier_lr),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=_base_.backbone_lr / classifier_lr))))
param_scheduler = [{**_base_.param_scheduler[0], 'end': max_epochs}]
train_cfg = dict(max_epochs=max_epochs)
