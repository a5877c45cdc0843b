# rows that were away for longer than two windows start anew: PIC's Figure 3
_base_ = './pic_12k_10e_all-classes.py'

model = dict(head=dict(num_negatives=1024))
train_dataloader = dict(sampler=dict(window_size=2048, window_stride=512))
train_cfg = dict(max_epochs=14)
custom_imports = dict(imports=[*_base_.custom_imports.imports, 'pic_plugin.evidence.experiments'])
custom_hooks = [*_base_.custom_hooks, dict(type='ForgetRowsHook', max_distance=4096)]
