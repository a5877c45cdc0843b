# Table 4 and Figure 4: 10 epochs, rows that start at random, no smoothing; 12.4 % top-1
_base_ = './omw_r50_64xb64_200e.py'

max_epochs = 10
model = dict(head=dict(label_smoothing=0.0))
custom_hooks = _base_.custom_hooks[:-1]
train_cfg = dict(max_epochs=max_epochs)
# the paper's warm-up of 10 epochs would be all of it; one epoch is ours
param_scheduler = [
    {**_base_.param_scheduler[0], 'end': 1}, {**_base_.param_scheduler[1], 'begin': 1, 'end': max_epochs}]
