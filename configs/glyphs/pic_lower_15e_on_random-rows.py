_base_ = './pic_lower_15e_on.py'

custom_hooks = [hook for hook in _base_.custom_hooks if hook.type != 'ContrastivePriorHook']
