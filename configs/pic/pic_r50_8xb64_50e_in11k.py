# Table 10: 50 epochs of ImageNet-11K, the sliding window
_base_ = './pic_r50_8xb64_200e.py'

max_epochs = 50
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [_base_.param_scheduler[0], {**_base_.param_scheduler[1], 'end': max_epochs}]
train_dataloader = dict(dataset=dict(data_root='data/imagenet11k/train'))
