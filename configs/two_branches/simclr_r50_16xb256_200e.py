# SimCLR as mmpretrain has it: "2 x 200" in PIC's Table 5, 66.6 % top-1
_base_ = 'mmpretrain::simclr/simclr_resnet50_16xb256-coslr-200e_in1k.py'

# mmengine marks what it inherits from a package by a _scope_, which this function does not take
train_dataloader = dict(collate_fn=dict(_delete_=True, type='default_collate'))
