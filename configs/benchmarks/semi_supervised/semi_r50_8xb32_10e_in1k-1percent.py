# 1 % of ImageNet's labels: Cao et al., NeurIPS 2020, Appendix C (Table 7), which gives no learning rate; the two for
# the backbone and the classifier: Liu et al., AAAI 2021.  The subset is drawn per class; for a published list of file
# names: --cfg-options train_dataloader.dataset.subset=/path/to/1percent.txt
_base_ = '../../_base_/classification.py'

max_epochs = 10
backbone_lr, classifier_lr = 0.001, 15.0
train_dataloader = dict(
    dataset=dict(_delete_=True, type='LabelledSubset', dataset=_base_.train_dataloader.dataset, subset=0.01, seed=0))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=classifier_lr, momentum=0.9, weight_decay=3e-5),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=backbone_lr / classifier_lr))))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, end=max_epochs, convert_to_iter_based=True)]
auto_scale_lr = dict(base_batch_size=256)
train_cfg = dict(by_epoch=True, max_epochs=max_epochs)
