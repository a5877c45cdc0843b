# the ablation's network: full instance classification of scikit-learn's digits, seconds per epoch on one CPU core
_base_ = '../pic/pic_r18-3stage-w32_1xb128_40e_digits.py'

max_epochs = 20

# the paper's settings; of 144 images per digit 100 would be too many to be hard
model = dict(
    backbone=dict(stem_channels=16, base_channels=16),
    neck=dict(in_channels=64),
    head=dict(num_negatives=None, temperature=0.15, label_smoothing=0.2, num_hard_classes=10))
# the digits as they are, 8 x 8, each once per epoch
train_dataloader = dict(
    sampler=dict(window_size=None, window_stride=None),
    dataset=dict(pipeline=[_base_.load, _base_.augment, dict(type='PackInputs')]))
bank_dataloader = dict(dataset=dict(pipeline=[_base_.load, dict(type='PackInputs')]))
query_dataloader = bank_dataloader
param_scheduler = [_base_.param_scheduler[0], {**_base_.param_scheduler[1], 'end': max_epochs}]
train_cfg = dict(max_epochs=max_epochs)

# runtime
custom_hooks = [*_base_.custom_hooks[:2], dict(type='ContrastivePriorHook')]
