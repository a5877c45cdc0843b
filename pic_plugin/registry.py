"""How the components are found: they register into mmpretrain's registries, as its own projects do.

With ``custom_imports`` of ``pic_plugin.datasets``, ``pic_plugin.models`` and ``pic_plugin.engine`` and
``default_scope = 'mmpretrain'`` (``configs/_base_/default_runtime.py`` has both) a config names them as it names
mmpretrain's own; mmdet and mmseg reach them as ``mmpretrain.NAME``.
"""
import io
import warnings
from contextlib import redirect_stdout

from .host_packages import check_host_packages

with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
    # each process would say, in a user's first lines, which parts are missing that nothing here needs
    warnings.simplefilter('ignore')
    check_host_packages()
    import mmpretrain.datasets
    import mmpretrain.models  # noqa: F401

from mmengine.registry import Registry
from mmpretrain.registry import DATA_SAMPLERS, DATASETS, HOOKS, MODELS, OPTIM_WRAPPERS, TRANSFORMS

AUGMENTATIONS = Registry('augmentation', scope='mmpretrain')  # what the transform Augment is made of

__all__ = ['AUGMENTATIONS', 'DATASETS', 'DATA_SAMPLERS', 'HOOKS', 'MODELS', 'OPTIM_WRAPPERS', 'TRANSFORMS']
