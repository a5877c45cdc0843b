# Table 4: 1600 epochs, each image once in each; 70.4 % top-1
_base_ = './pic_r50_8xb64_200e.py'

max_epochs = 1600
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [_base_.param_scheduler[0], {**_base_.param_scheduler[1], 'end': max_epochs}]
train_dataloader = dict(sampler=dict(window_size=None, window_stride=None))
