# On from any network of timm that gives a map, here ConvNeXt-T, by mmpretrain's wrapper:
# tools/model_converters/convert_backbone.py convnext_tiny=FILE OUT puts the file's tensors into the wrapper's names
_base_ = './continue_r50_8xb64_50e.py'

model = dict(
    backbone=dict(
        _delete_=True, type='TIMMBackbone', model_name='convnext_tiny',
        init_cfg=dict(type='Pretrained', checkpoint='{{$CHECKPOINT:none}}')),
    neck=dict(in_channels=768))
