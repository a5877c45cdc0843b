# DTD, training and validation images of its first split
_base_ = './finetune_r50_8xb32_20k_cifar10.py'

model = dict(data_preprocessor=dict(to_rgb=True), head=dict(num_classes=47))
train_dataloader = dict(
    dataset=dict(
        type='DTD', data_root='data/dtd', split='trainval',
        pipeline=[_base_.load, *_base_.train_dataloader.dataset.pipeline]))
val_dataloader = dict(
    dataset=dict(type='DTD', data_root='data/dtd', pipeline=[_base_.load, *_base_.val_dataloader.dataset.pipeline]))
