# rows that were away for longer than two windows start anew: PIC's Figure 3
_base_ = './pic_12k_20e.py'

custom_imports = dict(imports=[*_base_.custom_imports.imports, 'pic_plugin.evidence.experiments'])
custom_hooks = [*_base_.custom_hooks, dict(type='ForgetRowsHook', max_distance=4096)]
