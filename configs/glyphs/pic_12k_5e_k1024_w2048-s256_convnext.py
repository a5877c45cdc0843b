# a ConvNeXt of 3 stages, and AdamW for it
_base_ = ['./pic_12k_5e_k1024_w2048-s256.py', '../_base_/adamw.py']

model = dict(
    backbone=dict(
        _delete_=True, type='ConvNeXt', in_channels=1, stem_patch_size=2, out_indices=(2, ),
        arch=dict(depths=[2, 2, 2], channels=[16, 32, 64])),
    neck=dict(with_avg_pool=False))
optim_wrapper = dict(
    _base_.by_adamw, optimizer=dict(_base_.by_adamw.optimizer, lr=2e-3), row_optimizer=_base_.optim_wrapper.optimizer)
