# iNaturalist 2018, the whole network and a cosine classifier: Cao et al., NeurIPS 2020, Appendix C (Table 8)
_base_ = '../../_base_/classification.py'

max_epochs = 100
data_root = 'data/inaturalist2018'  # train2018.json, val2018.json and train_val2018/, as they are published
model = dict(head=dict(type='CosineClsHead', num_classes=8142, temperature=0.03))
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type='INaturalist', data_root=data_root, ann_file='train2018.json',
        pipeline=_base_.train_dataloader.dataset.pipeline))
val_dataloader = dict(
    dataset=dict(
        _delete_=True, type='INaturalist', data_root=data_root, ann_file='val2018.json',
        pipeline=_base_.val_dataloader.dataset.pipeline))
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=1e-4))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, end=max_epochs, convert_to_iter_based=True)]
auto_scale_lr = dict(base_batch_size=256)
train_cfg = dict(by_epoch=True, max_epochs=max_epochs)
