"""The toolboxes that this plugin plugs into, in the versions that it was tested with."""
from importlib import import_module
from importlib.util import find_spec

from packaging.version import Version

# package -> (first version that was tested, first that is too new); two families of packages share these names
TESTED = {
    'torch': ('2.4', None),
    'mmengine': ('0.10.7', '0.11'),
    'mmcv': ('2.1.0', '2.4'),
    'mmpretrain': ('1.2.0', '1.4'),
}
INSTALL = ("install one of the two tested sets: 'pip install onedl-mmengine==0.10.12 onedl-mmcv==2.3.6 "
           "onedl-mmpretrain==1.3.6' or 'pip install mmengine==0.10.7 mmcv-lite==2.1.0 mmpretrain==1.2.0'")


def check_host_packages() -> None:
    """Raise an ``ImportError`` that names the package, what is expected and what is there, unless all is well."""
    for name, (first, too_new) in TESTED.items():
        expected = f'{name}>={first}' + (f',<{too_new}' if too_new else '')
        if find_spec(name) is None:
            raise ImportError(f'pic_plugin needs {expected}, and {name} is not installed; {INSTALL}')
        version = Version(import_module(name if name != 'mmpretrain' else 'mmpretrain.version').__version__)
        if version < Version(first) or (too_new and version >= Version(too_new)):
            raise ImportError(f'pic_plugin was tested with {expected}, found {name} {version}; {INSTALL}')
