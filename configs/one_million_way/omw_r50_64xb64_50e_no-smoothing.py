# Table 4: 50 epochs, with the contrastive prior, no smoothing; 58.0 % top-1
_base_ = './omw_r50_64xb64_200e.py'

max_epochs = 50
model = dict(head=dict(label_smoothing=0.0))
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [_base_.param_scheduler[0], {**_base_.param_scheduler[1], 'end': max_epochs}]
