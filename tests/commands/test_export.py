"""What a user sees of an export."""
import subprocess
import sys

from tests.tiny import ROOT


def test_it_says_nothing_but_how_to_load_the_file(trained, tmp_path):
    command = ['export', str(trained.out), '--to', 'safetensors', '--out', str(tmp_path / 'a.safetensors')]
    done = subprocess.run([sys.executable, '-m', 'pic_plugin', *command], cwd=ROOT, check=True, capture_output=True,
                          text=True)
    assert done.stdout.splitlines()[0] == f'{tmp_path}/a.safetensors, to be loaded by' and not done.stderr
