# SUN397, the first of its ten partitions
_base_ = './finetune_r50_8xb32_20k_cifar10.py'

load = dict(type='LoadImageFromFile', imdecode_backend='pillow')  # some files are no JPEG, whatever their names say
model = dict(data_preprocessor=dict(to_rgb=True), head=dict(num_classes=397))
train_dataloader = dict(
    dataset=dict(
        type='SUN397', data_root='data/SUN397', pipeline=[load, *_base_.train_dataloader.dataset.pipeline]))
val_dataloader = dict(
    dataset=dict(type='SUN397', data_root='data/SUN397', pipeline=[load, *_base_.val_dataloader.dataset.pipeline]))
