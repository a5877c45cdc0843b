# Table 1: without the stronger augmentation; 62.3 % top-1.  The paper does not name the weaker one: this is that of
# instance discrimination before SimCLR (Wu et al., CVPR 2018; MoCo v1), where MoCo v2 lost as much by it
_base_ = './pic_r50_8xb64_200e.py'

flip, _, grey, _ = _base_.augment.augmentations
jitter = dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4)
train_dataloader = dict(
    sampler=dict(window_size=None, window_stride=None),
    dataset=dict(pipeline=[_base_.one_view[0], dict(type='Augment', augmentations=[grey, jitter, flip]), _base_.pack]))
