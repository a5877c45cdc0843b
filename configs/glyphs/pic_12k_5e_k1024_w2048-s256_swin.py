# a Swin of 2 stages with patches of 2 x 2 pixels and windows of 7 x 7 patches, and AdamW for it
_base_ = ['./pic_12k_5e_k1024_w2048-s256.py', '../_base_/adamw.py']

model = dict(
    backbone=dict(
        _delete_=True, type='SwinTransformer', img_size=28, patch_size=2, in_channels=1, window_size=7,
        out_indices=(1, ), arch=dict(embed_dims=32, depths=[2, 2], num_heads=[2, 4])))
optim_wrapper = dict(
    _base_.by_adamw, optimizer=dict(_base_.by_adamw.optimizer, lr=2e-3), row_optimizer=_base_.optim_wrapper.optimizer)
