# a ConvNeXt of 3 stages, and AdamW for it
_base_ = './pic_12k_5e_k1024_w2048-s256_vit.py'

model = dict(
    backbone=dict(
        _delete_=True, type='ConvNeXt', in_channels=1, stem_patch_size=2, out_indices=(2, ),
        arch=dict(depths=[2, 2, 2], channels=[16, 32, 64])))
