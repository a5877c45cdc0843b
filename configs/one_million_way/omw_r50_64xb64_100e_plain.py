# Table 4: 100 epochs, rows that start at random, no smoothing; 62.9 % top-1
_base_ = './omw_r50_64xb64_200e.py'

max_epochs = 100
model = dict(head=dict(label_smoothing=0.0))
custom_hooks = _base_.custom_hooks[:-1]
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [_base_.param_scheduler[0], {**_base_.param_scheduler[1], 'end': max_epochs}]
