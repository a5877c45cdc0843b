# Linear evaluation on ImageNet-11K: Cao et al., NeurIPS 2020, Appendix E (Table 10), with the settings of ImageNet-1K.
# The paper says neither how many categories that has nor which images are held out: set num_classes to the number of
# folders in train/
_base_ = './linear_r50_8xb32_100e_in1k.py'

num_classes = 11221
model = dict(head=dict(num_classes=num_classes))
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type='CustomDataset', data_root='data/imagenet11k/train',
        pipeline=_base_.train_dataloader.dataset.pipeline))
val_dataloader = dict(
    dataset=dict(
        _delete_=True, type='CustomDataset', data_root='data/imagenet11k/val',
        pipeline=_base_.val_dataloader.dataset.pipeline))
