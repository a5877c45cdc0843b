# mmpretrain's MoCo with v2's projection head; views, order and head as SimCLR's
_base_ = './simclr_all_2e.py'

model = dict(type='MoCo', queue_len=4096, feat_dim=64, momentum=0.01)
