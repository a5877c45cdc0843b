_base_ = './omw_r50_64xb64_200e.py'

max_epochs = 100
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [_base_.param_scheduler[0], {**_base_.param_scheduler[1], 'end': max_epochs}]
