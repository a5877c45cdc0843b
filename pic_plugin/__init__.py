"""Parametric instance classification for OpenMMLab's toolboxes.

Importing :mod:`pic_plugin.datasets`, :mod:`pic_plugin.models` and :mod:`pic_plugin.engine` registers the components.
The equations, in :mod:`pic_plugin.functional`, and :mod:`pic_plugin.sharding` import torch alone, and so does this
file: they can be used where the toolboxes are not installed.
"""
__version__ = '0.1.0'
