"""What make dist says of wheels and sdists that lack something."""
import subprocess
import tarfile
import zipfile

import pytest

from tests.tiny import ROOT
from tests.tools.scripts import run_tool

FILES = subprocess.run(['git', '-C', ROOT, 'ls-files'], stdout=subprocess.PIPE, text=True).stdout.splitlines()


@pytest.fixture
def pack(tmp_path):
    """Writes a wheel and an sdist of the repository's files, without one."""
    def write(without=''):
        with zipfile.ZipFile(tmp_path / 'a.whl', 'w') as wheel, tarfile.open(tmp_path / 'a.tar.gz', 'w:gz') as sdist:
            for name in FILES:
                if name != without:
                    wheel.writestr(name if name.startswith('pic_plugin/') else f'pic_plugin/.mim/{name}', '')
                    sdist.addfile(tarfile.TarInfo(f'a-1/{name}'))
        return tmp_path
    return write


def test_all_files_are_there(pack, capsys):
    run_tool('check_dist.py', pack())
    assert 'have all files' in capsys.readouterr().out


@pytest.mark.parametrize('name', ['pic_plugin/py.typed', 'configs/_base_/glyphs.py', 'tools/train.py', 'LICENSE',
                                  'tests/tiny.py', 'requirements/torch.txt', 'docs/_toc.yml', 'Makefile'])
def test_a_file_that_lacks_is_named(pack, name):
    with pytest.raises(ValueError, match=f'lacks {name}; add it in'):
        run_tool('check_dist.py', pack(without=name))


def test_there_must_be_one_of_each(tmp_path):
    with pytest.raises(ValueError, match='one wheel and one sdist were expected in .*, got 0 and 0; make dist'):
        run_tool('check_dist.py', tmp_path)
