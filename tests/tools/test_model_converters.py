"""Each converter, as a user types it: the converted network computes what the original computed."""
import argparse
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import PretrainedInit
from mmpretrain.models import LinearNeck, MoCoV2Neck, ResNet
from torch.testing import assert_close
from torchvision.models import get_model

from tests.checkpoints.networks import (
    Bomb,
    Detectron2ResNet,
    authors_checkpoint,
    head_like,
    images,
    randomised,
    torchvision_maps,
    torchvision_network,
)
from tests.tiny import assert_same
from tests.tools.scripts import run_tool

DEPTHS = [18, 50]


AUTHORS = ['authors_to_mmpretrain']
CONVERTERS = [AUTHORS, *(['convert_resnet', '--to', target] for target in ('mmpretrain', 'torchvision', 'detectron2'))]


def convert(converter, *arguments):
    run_tool(f'model_converters/{converter[0]}.py', *arguments, *converter[1:])


@torch.no_grad()
def mmpretrain_maps(network, path=None, prefix=None):
    """The four stages' maps of mmpretrain's ResNet, loaded as ``init_cfg=dict(type='Pretrained', ...)`` loads it."""
    if path is not None:
        PretrainedInit(str(path), prefix)(network)
    network.eval()  # mmpretrain's gives nothing back
    return list(network(images()))


def mmpretrain_network(depth):
    return ResNet(depth=depth, out_indices=(0, 1, 2, 3))


def assert_maps_equal(found, expected):
    assert len(found) == len(expected) == 4
    for a, b in zip(found, expected):
        assert b.abs().max() > 0.1  # something comes out
        assert_close(a, b)


@pytest.mark.parametrize('depth', DEPTHS)
def test_torchvision_to_mmpretrain_and_back(depth, tmp_path):
    network = torchvision_network(depth)
    torch.save(network.state_dict(), tmp_path / 'a.pth')
    convert(['convert_resnet', '--to', 'mmpretrain'], tmp_path / 'a.pth', tmp_path / 'b.pth')
    converted = torch.load(tmp_path / 'b.pth', weights_only=True)
    assert torch.equal(converted['head.fc.weight'], network.fc.weight)
    assert_maps_equal(mmpretrain_maps(mmpretrain_network(depth), tmp_path / 'b.pth', 'backbone.'),
                      torchvision_maps(network, images()))
    convert(['convert_resnet', '--to', 'torchvision'], tmp_path / 'b.pth', tmp_path / 'c.pth')
    assert_same(torch.load(tmp_path / 'c.pth', weights_only=True), dict(network.state_dict()))


@pytest.mark.parametrize('depth', DEPTHS)
def test_mmpretrain_to_torchvision(depth, tmp_path):
    network = randomised(mmpretrain_network(depth))
    checkpoint = {'state_dict': {f'backbone.{name}': tensor for name, tensor in network.state_dict().items()} |
                  {'neck.mlp.0.weight': torch.zeros(3)}, 'meta': {'epoch': 3}}
    torch.save(checkpoint, tmp_path / 'a.pth')
    convert(['convert_resnet', '--to', 'torchvision'], tmp_path / 'a.pth', tmp_path / 'new/b.pth')
    twin = get_model(f'resnet{depth}', weights=None).eval()
    keys = twin.load_state_dict(torch.load(tmp_path / 'new/b.pth', weights_only=True), strict=False)
    assert keys.missing_keys == ['fc.weight', 'fc.bias'] and not keys.unexpected_keys
    assert_maps_equal(torchvision_maps(twin, images()), mmpretrain_maps(network))


@pytest.mark.parametrize('zipped', [True, False])  # torch writes zip files since 1.6; the authors' were made in 2020
@pytest.mark.parametrize('depth, sizes', [(50, (2048, 2048, 128)), (18, (512, 128))])
def test_authors_to_mmpretrain(depth, sizes, zipped, tmp_path):
    network, head = torchvision_network(depth), head_like(*sizes)
    opt = argparse.Namespace(arch='resnet50', lr=0.06, milestones=[120, 160], aug=None, multi=argparse.Namespace(n=4))
    torch.save(authors_checkpoint(network, head, opt), tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)

    convert(AUTHORS, tmp_path / 'a.pth', tmp_path / 'backbone.pth')
    assert_maps_equal(mmpretrain_maps(mmpretrain_network(depth), tmp_path / 'backbone.pth'),
                      expected := torchvision_maps(network, images()))

    convert(AUTHORS, tmp_path / 'a.pth', tmp_path / 'both.pth', '--with-neck')
    assert_maps_equal(mmpretrain_maps(mmpretrain_network(depth), tmp_path / 'both.pth', 'backbone.'), expected)
    both = torch.load(tmp_path / 'both.pth', weights_only=True)
    neck = MoCoV2Neck(*sizes) if len(sizes) == 3 else LinearNeck(*sizes, gap_dim=2, norm_cfg=None)
    neck.load_state_dict({name.removeprefix('neck.'): tensor for name, tensor in both.items()
                          if name.startswith('neck.')})
    with torch.no_grad():
        pooled = expected[-1].mean((2, 3))
        projected = head['fc2'](head['fc1'](pooled).relu()) if len(sizes) == 3 else head['fc'](pooled)
        assert_close(neck((expected[-1], ))[0], projected)
    assert not any('criterion' in name or 'encoder' in name for name in both)


@pytest.mark.parametrize('depth', DEPTHS)
def test_to_detectron2(depth, tmp_path):
    network = torchvision_network(depth)
    torch.save(network.state_dict(), tmp_path / 'a.pth')
    convert(['convert_resnet', '--to', 'detectron2'], tmp_path / 'a.pth', tmp_path / 'b.pkl')
    with (tmp_path / 'b.pkl').open('rb') as file:
        content = pickle.load(file, encoding='latin1')  # as Detectron2 reads it
    assert content['matching_heuristics'] is True and content['__author__']
    assert all(isinstance(array, np.ndarray) and array.flags.writeable for array in content['model'].values())
    twin = Detectron2ResNet(depth).eval()
    twin.load_state_dict({name: torch.from_numpy(array) for name, array in content['model'].items()})
    assert_maps_equal(twin.maps(images()), torchvision_maps(network, images()))
    # by names that numpy 1 and 2 both have
    assert b'numpy._core' not in (pickled := (tmp_path / 'b.pkl').read_bytes()) and b'numpy.core' not in pickled


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('converter', CONVERTERS, ids=lambda converter: converter[-1])
def test_no_code_is_run(converter, zipped, tmp_path):
    fuse = tmp_path / 'fuse'
    checkpoint = {'opt': argparse.Namespace(a=Bomb(fuse)), 'model': {'module.encoder.conv1.weight': torch.zeros(3)}}
    torch.save(checkpoint, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    # the first class that a reader refuses: only the authors' may have a Namespace
    refused = 'posix.system' if converter is AUTHORS else 'argparse.Namespace'
    message = f'it names {refused}, and making that might run code, so it is not loaded. If you trust who made it, ' \
        'take its tensors out where it can do no harm'
    if zipped and converter is not AUTHORS:  # the network is read, and what else is there is not made
        message = 'a.pth has no network in it: a dict of tensors was expected, by itself or under state_dict, got a di'
    with pytest.raises(ValueError, match=message):
        convert(converter, tmp_path / 'a.pth', tmp_path / 'b.pth')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.pth']
    torch.load(tmp_path / 'a.pth', weights_only=False)
    assert fuse.exists()  # it was live


def test_a_checkpoint_with_mmengines_log(tmp_path):
    state = {f'backbone.{name}': tensor for name, tensor in torchvision_network(18).state_dict().items()
             if not name.startswith('fc')}
    torch.save({'state_dict': state, 'message_hub': {'loss': HistoryBuffer([1.0], [1])}}, tmp_path / 'a.pth')
    convert(['convert_resnet', '--to', 'torchvision'], tmp_path / 'a.pth', tmp_path / 'b.pth')
    found = torch.load(tmp_path / 'b.pth', weights_only=True)
    assert all(torch.equal(found[name.removeprefix('backbone.')], tensor) for name, tensor in state.items())


@pytest.mark.parametrize('converter', CONVERTERS, ids=lambda converter: converter[-1])
def test_truncated(converter, tmp_path):
    torch.save({'model': {'module.encoder.conv1.weight': torch.zeros(300)}}, tmp_path / 'a.pth')
    content = (tmp_path / 'a.pth').read_bytes()
    (tmp_path / 'a.pth').write_bytes(content[:len(content) // 2])
    with pytest.raises(ValueError, match=r'a.pth is damaged, or no checkpoint: a file that torch.save or'):
        convert(converter, tmp_path / 'a.pth', tmp_path / 'new/b.pth')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.pth']


@pytest.mark.parametrize('converter, message', [
    (converter, "is none of the checkpoints that the authors of PIC released: those have their tensors"
     if converter is AUTHORS else "are those of none of torchvision's networks; the nearest is resnet18")
    for converter in CONVERTERS], ids=lambda argument: argument[-1])
def test_foreign(converter, message, tmp_path):
    torch.save({'layers.0.weight': torch.zeros(3), 'layers.1.bias': torch.zeros(2)}, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=message):
        convert(converter, tmp_path / 'a.pth', tmp_path / 'b.pth')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a.pth']


def test_it_says_what_it_wrote(tmp_path, capsys):
    torch.save(torchvision_network(18).state_dict(), tmp_path / 'a.pth')
    convert(['convert_resnet', '--to', 'torchvision'], tmp_path / 'a.pth', tmp_path / 'b.pth')
    # 11,689,512 weights are what torchvision documents for ResNet-18; the rest are BatchNorm's statistics
    assert f'wrote 122 tensors, {11_689_512 + 2 * 4800 + 20:,} numbers, to {tmp_path}/b.pth' in capsys.readouterr().out


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / 'b.pth').write_text('mine')
    for converter in CONVERTERS:
        with pytest.raises(ValueError, match='b.pth exists, and is not overwritten; remove it or give another name'):
            convert(converter, tmp_path / 'a.pth', tmp_path / 'b.pth')
    assert (tmp_path / 'b.pth').read_text() == 'mine'
