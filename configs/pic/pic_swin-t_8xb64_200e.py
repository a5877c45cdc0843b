# not in the papers: Swin-T, and AdamW for it; the rows keep ResNet-50's SGD
_base_ = ['./pic_r50_8xb64_200e.py', '../_base_/adamw.py']

model = dict(
    backbone=dict(_delete_=True, type='SwinTransformer', arch='tiny', img_size=224, drop_path_rate=0.1),
    neck=dict(in_channels=768))
optim_wrapper = dict(row_optimizer=_base_.optim_wrapper.optimizer, **_base_.by_adamw)
