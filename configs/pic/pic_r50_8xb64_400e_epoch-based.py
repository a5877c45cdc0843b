# Table 4: 400 epochs, each image once in each; 68.5 % top-1
_base_ = './pic_r50_8xb64_200e.py'

max_epochs = 400
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [_base_.param_scheduler[0], {**_base_.param_scheduler[1], 'end': max_epochs}]
train_dataloader = dict(sampler=dict(window_size=None, window_stride=None))
