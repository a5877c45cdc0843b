# Linear evaluation on ImageNet: Cao et al., NeurIPS 2020, Appendix C (Table 6)
_base_ = '../../_base_/classification.py'

max_epochs = 100
model = dict(backbone=dict(frozen_stages=4, norm_eval=True))
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=30.0, momentum=0.9, weight_decay=0.0))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, end=max_epochs, convert_to_iter_based=True)]
auto_scale_lr = dict(base_batch_size=256)
train_cfg = dict(by_epoch=True, max_epochs=max_epochs)
