# random rows, no smoothing
_base_ = './omw_12k_10e.py'

model = dict(head=dict(num_negatives=128, label_smoothing=0.0))
custom_hooks = _base_.custom_hooks[:-1]
