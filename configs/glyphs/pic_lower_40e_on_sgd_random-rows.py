_base_ = './pic_lower_40e_on_sgd.py'

custom_hooks = [hook for hook in _base_.custom_hooks if hook.type != 'ContrastivePriorHook']
