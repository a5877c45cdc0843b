# MoCo v2 as mmpretrain has it: "2 x 200" in PIC's Table 5, 67.5 % top-1
_base_ = 'mmpretrain::mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py'

# mmengine marks what it inherits from a package by a _scope_, which this function does not take
train_dataloader = dict(collate_fn=dict(_delete_=True, type='default_collate'))
