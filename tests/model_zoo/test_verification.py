import re

import pytest
import torch

from pic_plugin.checkpoints.resnet_names import backbone_names
from pic_plugin.engine.checksums import sha256
from pic_plugin.model_zoo.publishing import publish
from pic_plugin.model_zoo.verification import verify
from tests.model_zoo.small import ENTRY, network, write_config, write_zoo
from tests.tools.scripts import run_tool

TRAINED = {**ENTRY, 'Status': 'trained here', 'Made By': 'hand', 'Tensors': 120}


@pytest.fixture
def released(tmp_path):
    config = write_config(tmp_path / 'run/small.py')
    torch.save(network(config), tmp_path / 'run/a.pth')
    return publish(tmp_path / 'run/a.pth', tmp_path / 'releases')


def pth(folder):
    path, = folder.glob('*.pth')
    return path


def zoo(tmp_path, **changes):
    return write_zoo(tmp_path / 'zoo', [{**TRAINED, **changes}])


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_all_is_well(released, tmp_path, suffix, capsys):
    path, = released.glob(f'*.{suffix}')
    root = zoo(tmp_path, Files={file.name: sha256(file) for file in released.glob('small-*')})
    run_tool('verify_model.py', path, '--root', root)
    assert capsys.readouterr().out.splitlines()[-3:] == [
        f'SHA-256: {sha256(path)}, as in the zoo', 'tensors: 120, read without running code',
        'architecture: names and shapes are those of configs/small/small.py']


def test_the_zoo_has_no_checksum(released, tmp_path):
    assert next(verify(pth(released), zoo(tmp_path))) == (
        'SHA-256: as the name says; the zoo has none for small, trained here')


def test_with_the_neck(released, tmp_path):
    folder = publish(tmp_path / 'run/a.pth', tmp_path / 'releases', with_neck=True)
    assert 'tensors: 124, read without running code' in list(verify(pth(folder), zoo(tmp_path)))


def fails(path, root, message):
    with pytest.raises(ValueError, match=message):
        list(verify(path, root))


def test_one_flipped_bit(released, tmp_path):
    content = bytearray(pth(released).read_bytes())
    content[len(content) // 2] ^= 1
    pth(released).write_bytes(content)
    fails(pth(released), zoo(tmp_path), 'is damaged or was renamed: its SHA-256 starts with [0-9a-f]{8}, and its name')


def test_not_the_zoos(released, tmp_path):
    name = pth(released).name
    fails(pth(released), zoo(tmp_path, Files={name: 64 * '0'}),
          rf'{name} is none of the files of small: the zoo has {name} \(0{{16}}…\), got')


@pytest.mark.parametrize('name', ['small.pth', 'small-0123.pth', 'small-01234567.pkl', 'small-0123456X.pth'])
def test_not_a_release(tmp_path, name):
    (tmp_path / name).write_bytes(b'')
    fails(tmp_path / name, zoo(tmp_path), f'{name} is not the name of a released file')


def renamed(path, name):
    """A file under the name that its content asks for."""
    return path.rename(path.with_name(f'{name}-{sha256(path)[:8]}.pth'))


def test_no_entry(released, tmp_path):
    fails(renamed(pth(released), 'other'), zoo(tmp_path), 'other has no entry in the zoo of ')


def test_another_number_of_tensors(released, tmp_path):
    fails(pth(released), zoo(tmp_path, Tensors=119), '119 tensors of a backbone were expected, got 120')


def test_another_depth(tmp_path):
    state = backbone_names(network(write_config(tmp_path / 'deep.py', depth=34)))
    torch.save(state, tmp_path / 'a.pth')
    fails(renamed(tmp_path / 'a.pth', 'small'), zoo(tmp_path, Tensors=len(state)),
          "is not what the config describes, type='ResNet', depth=18: 180 tensors were given, 100 expected")


@pytest.mark.parametrize('content, message', [(b'nothing', 'is damaged, or no checkpoint'), (None, 'has no network')])
def test_foreign(content, message, tmp_path):
    path = tmp_path / 'a.pth'
    if content is None:
        torch.save([1, 2], path)
    else:
        path.write_bytes(content)
    path = renamed(path, 'small')
    fails(path, zoo(tmp_path), f'{re.escape(path.name)} {message}')
