# not in the papers: another backbone, with the settings of ResNet-50 and gradients clipped as is usual for it
_base_ = './pic_r50_8xb64_200e.py'

model = dict(
    backbone=dict(_delete_=True, type='SwinTransformer', arch='tiny', img_size=224, drop_path_rate=0.1),
    neck=dict(in_channels=768))
optim_wrapper = dict(clip_grad=dict(max_norm=5.0))
