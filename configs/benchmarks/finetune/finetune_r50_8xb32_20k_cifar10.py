# CIFAR-10, the whole network: Liu et al., AAAI 2021 (Table 10), which gives no settings.  All of these are ours, chosen
# after SimCLR's fine-tuning (Chen et al., ICML 2020, appendix on transfer): batch 256, 20,000 iterations, Nesterov
# momentum, images of 224 px; one learning rate and one weight decay out of the grids searched there; cosine schedule
_base_ = '../../_base_/classification.py'

max_iters = 20000
model = dict(
    data_preprocessor=dict(to_rgb=False),  # they are RGB
    head=dict(num_classes=10))
train_dataloader = dict(
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(
        _delete_=True, type='CIFAR10', data_root='data/cifar10', split='train',
        pipeline=_base_.train_dataloader.dataset.pipeline[1:]))
val_dataloader = dict(
    dataset=dict(
        _delete_=True, type='CIFAR10', data_root='data/cifar10', split='test',
        pipeline=_base_.val_dataloader.dataset.pipeline[1:]))
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.03, momentum=0.9, nesterov=True, weight_decay=1e-4))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, end=max_iters)]
auto_scale_lr = dict(base_batch_size=256)
train_cfg = dict(by_epoch=False, max_iters=max_iters, val_interval=2000)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=2000))
log_processor = dict(by_epoch=False)
