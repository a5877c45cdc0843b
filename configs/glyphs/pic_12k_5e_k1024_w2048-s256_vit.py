# a transformer of 3 layers with patches of 7 x 7 pixels, averaged over the places, and AdamW for it
_base_ = './pic_12k_5e_k1024_w2048-s256.py'

model = dict(
    backbone=dict(
        _delete_=True, type='VisionTransformer', img_size=28, patch_size=7, in_channels=1, out_type='avg_featmap',
        arch=dict(embed_dims=64, num_layers=3, num_heads=4, feedforward_channels=256)),
    neck=dict(with_avg_pool=False))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.05, fused=True),
    row_optimizer=_base_.optim_wrapper.optimizer,
    paramwise_cfg=dict(
        flat_decay_mult=0.0, custom_keys=dict(cls_token=dict(decay_mult=0.0), pos_embed=dict(decay_mult=0.0))),
    clip_grad=dict(max_norm=5.0))
