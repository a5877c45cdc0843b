# Figure 3 of the conference's text: rows that were away for longer than two windows start anew.  In one process, so the
# batch is one GPU's, and so are BatchNorm's statistics; the paper says neither how long is long nor how it was run
_base_ = './pic_r50_8xb64_200e.py'

custom_imports = dict(imports=[*_base_.custom_imports.imports, 'pic_plugin.evidence.experiments'])
train_dataloader = dict(batch_size=512, num_workers=16)
custom_hooks = [*_base_.custom_hooks, dict(type='ForgetRowsHook', max_distance=262144)]
