_base_ = './omw_12k_20e.py'

model = dict(head=dict(label_smoothing=0.0))
custom_hooks = _base_.custom_hooks[:-1]
train_cfg = dict(max_epochs=10)
