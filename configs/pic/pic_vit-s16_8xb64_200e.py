# not in the papers: ViT-S/16, and AdamW for it; the rows keep ResNet-50's SGD
_base_ = ['./pic_r50_8xb64_200e.py', '../_base_/adamw.py']

model = dict(
    backbone=dict(
        _delete_=True, type='VisionTransformer', arch='deit-small', img_size=224, patch_size=16, drop_path_rate=0.1,
        out_type='cls_token'),
    neck=dict(in_channels=384, with_avg_pool=False))
optim_wrapper = dict(row_optimizer=_base_.optim_wrapper.optimizer, **_base_.by_adamw)
