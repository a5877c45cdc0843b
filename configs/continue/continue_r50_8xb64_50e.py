# On from a ResNet-50 of torchvision, timm, mmpretrain or this plugin, on images of one's own; CHECKPOINT=path before
# the command names it.  The rows start as its features.  The network has AdamW with a small learning rate, the
# projection head, which is new, ten times that, and the rows keep SGD; the warm-up starts from next to nothing
_base_ = ['../pic/pic_r50_8xb64_200e.py', '../_base_/adamw.py']

max_epochs = 50

model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='{{$CHECKPOINT:none}}')),
    # with BatchNorm, which takes off what the features of a batch have in common: trained ones have much
    neck=dict(
        _delete_=True, type='NonLinearNeck', in_channels=2048, hid_channels=2048, out_channels=128, num_layers=2,
        with_avg_pool=True, norm_cfg=dict(type='BN1d')))
train_dataloader = dict(dataset=dict(data_root='data/images'))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=0.05, fused=True),
    row_optimizer=_base_.optim_wrapper.optimizer,
    paramwise_cfg=dict(
        flat_decay_mult=0.0, custom_keys=dict(**_base_.by_adamw.paramwise_cfg.custom_keys, neck=dict(lr_mult=10))))
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [_base_.param_scheduler[0], {**_base_.param_scheduler[1], 'end': max_epochs}]
custom_hooks = [*_base_.custom_hooks, dict(type='CheckBackboneHook'), dict(type='ContrastivePriorHook')]
