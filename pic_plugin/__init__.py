"""Parametric instance classification for OpenMMLab's toolboxes.

The commands of ``python -m pic_plugin`` are functions here: :func:`check`, :func:`pretrain`, :func:`embed`,
:func:`report` and :func:`export`.

Importing :mod:`pic_plugin.datasets`, :mod:`pic_plugin.models` and :mod:`pic_plugin.engine` registers the components.
The equations, in :mod:`pic_plugin.functional`, and :mod:`pic_plugin.sharding` import torch alone, and this file imports
nothing: they can be used where the toolboxes are not installed.
"""
from importlib import import_module
from typing import Any

__version__ = '0.2.0'
__all__ = ['check', 'embed', 'export', 'pretrain', 'report']


def __getattr__(name: str) -> Any:
    """A command, whose module is imported only when it is used."""
    if name in __all__:
        return getattr(import_module(f'.commands.{name}', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
