# On from DINOv2's ViT-S/14, whose file tools/model_converters/convert_backbone.py puts into mmpretrain's names:
# convert_backbone.py dinov2_vits14_pretrain.pth OUT.  Its positions, of images of 518 pixels, are interpolated to the
# views' 224
_base_ = './continue_r50_8xb64_50e.py'

model = dict(
    backbone=dict(
        _delete_=True, type='VisionTransformer', arch='dinov2-small', img_size=518, patch_size=14,
        layer_scale_init_value=1e-5, init_cfg=dict(type='Pretrained', checkpoint='{{$CHECKPOINT:none}}')),
    neck=dict(in_channels=384, with_avg_pool=False))
