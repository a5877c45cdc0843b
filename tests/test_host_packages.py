from types import SimpleNamespace
from unittest.mock import patch

import pytest

from pic_plugin.host_packages import check_host_packages

MODULE = 'pic_plugin.host_packages'


def test_what_is_installed_here_was_tested():
    check_host_packages()


@pytest.mark.parametrize('missing', ['torch', 'mmengine', 'mmcv', 'mmpretrain'])
def test_missing(missing):
    with patch(f'{MODULE}.find_spec', lambda name: None if name == missing else object()), \
            pytest.raises(ImportError, match=f"{missing} is not installed; install one of the two tested sets: 'pip"):
        check_host_packages()


@pytest.mark.parametrize('version', ['0.9.0', '0.11.0', '1.0.0'])
def test_untested(version):
    def fake_import(name):
        versions = {'torch': '2.4.0', 'mmengine': version}
        return SimpleNamespace(__version__=versions[name])

    with patch(f'{MODULE}.import_module', fake_import), \
            pytest.raises(ImportError, match=f'tested with mmengine>=0.10.7,<0.11, found mmengine {version}'):
        check_host_packages()
