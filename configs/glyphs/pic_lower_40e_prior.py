# rows that start as the untrained network's features
_base_ = './pic_lower_40e.py'

custom_hooks = [*_base_.custom_hooks, dict(type='ContrastivePriorHook')]
