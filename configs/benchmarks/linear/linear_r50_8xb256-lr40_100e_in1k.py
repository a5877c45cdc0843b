# Linear evaluation on ImageNet: Liu et al., AAAI 2021 (Table 6); the number of epochs is ours, the paper gives none
_base_ = './linear_r50_8xb32_100e_in1k.py'

train_dataloader = dict(batch_size=256)
optim_wrapper = dict(optimizer=dict(lr=40.0))
auto_scale_lr = dict(base_batch_size=2048)
