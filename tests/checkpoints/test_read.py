import argparse
import io
import os
import pickle
from collections import OrderedDict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file

from pic_plugin.checkpoints.read import load_network, load_tensors_only, network_tensors


def write(path, content, **kwargs):
    torch.save(content, path, **kwargs)
    return path


def test_plain_values_and_tensors(tmp_path):
    content = {'state_dict': OrderedDict(a=torch.arange(3)), 'meta': {'epoch': 3, 'name': 'x', 'lr': [0.1, None, True]}}
    read = load_tensors_only(write(tmp_path / 'a.pth', content))
    assert read['meta'] == content['meta'] and torch.equal(read['state_dict']['a'], torch.arange(3))


def test_safetensors(tmp_path):
    save_file({'a': torch.arange(3)}, tmp_path / 'a.safetensors')
    assert torch.equal(load_tensors_only(tmp_path / 'a.safetensors')['a'], torch.arange(3))


def test_what_is_allowed_is_allowed_once(tmp_path):
    path = write(tmp_path / 'a.pth', argparse.Namespace(lr=0.1, inner=argparse.Namespace(names=['a'])))
    before = set(torch.serialization.get_safe_globals())
    assert load_tensors_only(path, allowed=[argparse.Namespace]).inner.names == ['a']
    assert set(torch.serialization.get_safe_globals()) == before
    with pytest.raises(ValueError, match='it names argparse.Namespace, and making that might run code'):
        load_tensors_only(path)


class TwoStates:
    """A Namespace that is given a ``__setstate__`` by its first state, which would be called with the second."""

    def __init__(self, function, argument):
        self.function, self.argument = function, argument

    def __reduce__(self):
        return argparse.Namespace, (), {'__setstate__': self.function}


@pytest.mark.parametrize('zipped', [True, False])
def test_a_namespace_calls_nothing_of_the_files(zipped, tmp_path):
    trace = tmp_path / 'trace'
    path = write(tmp_path / 'a.pth', TwoStates(os.system, f'touch {trace}'), _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match='it names posix.system'):
        load_tensors_only(path, allowed=[argparse.Namespace])
    assert not trace.exists()


def test_the_way_to_convert_it_works(tmp_path, monkeypatch):
    """What the message says, done."""
    path = write(tmp_path / 'a.pth', {'opt': argparse.Namespace(), 'model': {'a': torch.arange(3), 'name': 'x'}})
    with pytest.raises(ValueError, match='take its tensors out where it can do no harm') as error:
        load_tensors_only(path)
    code = str(error.value).split('python -c "')[1].split('"')[0]
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert torch.equal(load_tensors_only(tmp_path / 'tensors.pth')['a'], torch.arange(3))


def content_of(zipped):
    buffer = io.BytesIO()
    torch.save({'opt': argparse.Namespace(lr=0.1), 'model': {'a': torch.randn(40)}}, buffer,
               _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


CONTENTS = {zipped: content_of(zipped) for zipped in (True, False)}


@given(zipped=st.booleans(), share=st.floats(0, 1, exclude_max=True))
def test_cut_off_anywhere(tmp_path_factory, zipped, share):
    path = tmp_path_factory.mktemp('cut') / 'a.pth'
    path.write_bytes(CONTENTS[zipped][:int(share * len(CONTENTS[zipped]))])
    with pytest.raises(ValueError, match='a.pth is (damaged|not a checkpoint of tensors)'):
        load_tensors_only(path, allowed=[argparse.Namespace])


@pytest.mark.parametrize('content', [b'', b'\x89PNG' * 100, b'<html>404 not found</html>', pickle.dumps({'a': 1})])
@pytest.mark.parametrize('name', ['a.pth', 'a.safetensors'])
def test_foreign(content, name, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f'{name} is damaged, or no checkpoint: a file that torch.save or safetensors'):
        load_tensors_only(tmp_path / name)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_tensors_only(tmp_path / 'a.pth')


def test_safetensors_is_not_installed(tmp_path, monkeypatch):
    save_file({'a': torch.arange(3)}, tmp_path / 'a.safetensors')
    monkeypatch.setitem(__import__('sys').modules, 'safetensors.torch', None)
    with pytest.raises(ValueError, match='a.safetensors needs the package safetensors: pip install safetensors'):
        load_tensors_only(tmp_path / 'a.safetensors')


def test_a_network_in_it():
    tensors = {'a': torch.zeros(2)}
    assert network_tensors(tensors, 'x') == tensors == network_tensors({'state_dict': tensors, 'meta': {}}, 'x')


@pytest.mark.parametrize('content, found', [
    ({'model': {}, 'opt': 1}, 'got a dict of model, opt'), ({}, 'got a dict of $'), ([1], 'got list'),
    ({'state_dict': {'a': 1}}, 'got a dict of a')])
def test_no_network_in_it(content, found):
    with pytest.raises(ValueError, match=f'x.pth has no network in it: a dict of tensors was expected, .*{found}'):
        network_tensors(content, 'x.pth')


# --- load_network ---

class Runs:
    """Runs a function where it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def network():
    return OrderedDict(a=torch.randn(3, 4), b=torch.nn.Parameter(torch.randn(2)), c=torch.arange(5)[::2])


def test_the_network_of_a_checkpoint_of_mmengine(tmp_path):
    state = network()
    log = HistoryBuffer([1.0, 2.0], [1, 1])
    path = write(tmp_path / 'a.pth', {'message_hub': {'log_scalars': OrderedDict(loss=log)}, 'state_dict': state,
                                      'optimizer': {'odd': {1, 2}, 'args': argparse.Namespace(lr=[0.1])}})
    with pytest.raises(ValueError, match='is not a checkpoint of tensors'):
        load_tensors_only(path)
    found = load_network(path)
    assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)


def test_a_dict_of_tensors_is_a_network(tmp_path):
    state = network()
    assert load_network(write(tmp_path / 'a.pth', state)).keys() == state.keys()


@pytest.mark.parametrize('reference', [False, True])
def test_no_code_of_the_file_runs(reference, tmp_path):
    trace = tmp_path / 'trace'
    odd = Runs(os.system, f'touch {trace}')
    content = {'state_dict': {'a': torch.arange(3)}, 'odd': [odd, Runs(getattr, 'a', 'upper'), Runs(eval, '1 + 1')],
               'later': TwoStates(os.system, f'touch {trace}')}
    content[odd if reference else 'more'] = 1
    assert load_network(write(tmp_path / 'a.pth', content)).keys() == {'a'}
    assert not trace.exists()


def test_what_is_left_out_is_no_tensor(tmp_path):
    path = write(tmp_path / 'a.pth', {'state_dict': {'a': torch.arange(3), 'b': argparse.Namespace()}})
    with pytest.raises(ValueError, match='has no network in it'):
        load_network(path)


@given(share=st.floats(0, 1, exclude_max=True), zipped=st.booleans())
def test_a_network_cut_off_anywhere(tmp_path_factory, share, zipped):
    path = tmp_path_factory.mktemp('cut') / 'a.pth'
    path.write_bytes(CONTENTS[zipped][:int(share * len(CONTENTS[zipped]))])
    with pytest.raises(ValueError, match='a.pth is (damaged|not a checkpoint of tensors)'):
        load_network(path)


def test_a_flipped_bit_in_what_makes_the_objects(tmp_path):
    content = CONTENTS[True]
    start = content.index(b'Namespace') - 40
    for position in range(start, start + 60):
        path = tmp_path / 'a.pth'
        path.write_bytes(content[:position] + bytes([content[position] ^ 255]) + content[position + 1:])
        with pytest.raises(ValueError, match='a.pth (is damaged|is not a checkpoint|has no network)'):
            load_network(path)
