# the same training, whose losses are told by the distance since the last visit
_base_ = './pic_all_4e.py'

custom_imports = dict(imports=[*_base_.custom_imports.imports, 'pic_plugin.evidence.experiments'])
custom_hooks = [*_base_.custom_hooks, dict(type='LossByDistanceHook')]
