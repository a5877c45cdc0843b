# not in the papers: ConvNeXt-T, which averages its maps itself, and AdamW for it; the rows keep ResNet-50's SGD
_base_ = ['./pic_r50_8xb64_200e.py', '../_base_/adamw.py']

model = dict(
    backbone=dict(_delete_=True, type='ConvNeXt', arch='tiny', drop_path_rate=0.1),
    neck=dict(in_channels=768, with_avg_pool=False))
optim_wrapper = dict(row_optimizer=_base_.optim_wrapper.optimizer, **_base_.by_adamw)
