# rows that were away for longer than two windows start anew: PIC's Figure 3
_base_ = './pic_all_4e.py'

custom_imports = dict(imports=[*_base_.custom_imports.imports, 'pic_plugin.evidence.experiments'])
custom_hooks = [*_base_.custom_hooks, dict(type='ForgetRowsHook', max_distance=8192)]
