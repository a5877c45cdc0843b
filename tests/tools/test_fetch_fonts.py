"""Fonts from Debian's packages: all of them or none, and a word on what is missing."""
import os
import subprocess

import pytest

from tests.tiny import ROOT

TOOL = ROOT / 'tools/dataset_converters/fetch_fonts.sh'
APT_GET = '''#!/bin/sh
for package; do case $package in fonts-*) echo $package > ${package}_1_all.deb;; esac; done
[ -z "$FAIL" ]
'''
DPKG_DEB = '''#!/bin/sh
mkdir -p "$3/usr/share/fonts" && cp "$2" "$3/usr/share/fonts/"
'''


@pytest.fixture
def commands(tmp_path):
    """A folder of commands: the shell's own, and stand-ins for apt-get and dpkg-deb."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    for name in ('sh', 'dirname', 'rm', 'mkdir', 'grep', 'wc', 'mv', 'cp'):
        (folder / name).symlink_to(next(path for place in ('/bin', '/usr/bin')
                                        if os.path.exists(path := f'{place}/{name}')))
    for name, text in (('apt-get', APT_GET), ('dpkg-deb', DPKG_DEB)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def fetch(commands, out, **environment):
    return subprocess.run(['/bin/sh', TOOL, out], env={'PATH': str(commands), **environment}, text=True,
                          capture_output=True, check=False)


def test_all_packages_are_unpacked_and_none_is_fetched_again(commands, tmp_path):
    out = tmp_path / 'da ta/fonts'
    assert fetch(commands, out).returncode == 0
    packages = [line for line in TOOL.with_name('debian_fonts.txt').read_text().splitlines() if line[0] != '#']
    assert len(packages) == len(set(packages)) > 50
    assert sorted(path.name for path in (out / 'usr/share/fonts').iterdir()) == sorted(
        f'{package}_1_all.deb' for package in packages)
    (commands / 'apt-get').unlink()
    again = fetch(commands, out)
    assert again.returncode == 0 and 'is there already' in again.stdout


@pytest.mark.parametrize('command', ['apt-get', 'dpkg-deb'])
def test_without_debians_commands(commands, tmp_path, command):
    (commands / command).unlink()
    result = fetch(commands, tmp_path / 'fonts')
    assert result.returncode == 1
    assert f'{command} is not here: give a folder of fonts of your own, as in make evidence FONTS=' in result.stderr


def test_a_failed_download_leaves_nothing(commands, tmp_path):
    result = fetch(commands, tmp_path / 'fonts', FAIL='1')
    assert result.returncode == 1 and 'could not download all of' in result.stderr
    assert not (tmp_path / 'fonts').exists()
    assert fetch(commands, tmp_path / 'fonts').returncode == 0
