import errno
import pickle
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import timm
import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.models import ResNet
from mmpretrain.registry import MODELS
from safetensors.torch import load_file
from torch.testing import assert_close

from pic_plugin.commands.embed import embed
from pic_plugin.commands.export import _TARGETS, export
from pic_plugin.model_zoo import onnx_file
from pic_plugin.model_zoo.exporting import ONNX, TARGETS, export_network
from tests.checkpoints.networks import Bomb, Detectron2ResNet, images, torchvision_maps, torchvision_network
from tests.model_zoo.runs import write_run
from tests.photos import crop, encoded, write

needs_onnx = pytest.mark.skipif(not all(map(find_spec, onnx_file._NEEDED)),
                                reason="needs pip install 'pic_plugin[onnx]'")


@pytest.fixture(scope='module')
def resnet18(tmp_path_factory):
    """A checkpoint as training writes it, and the network in torchvision's."""
    network = torchvision_network(18)
    state = {f'backbone.{name}': tensor for name, tensor in network.state_dict().items() if not name.startswith('fc.')}
    path = tmp_path_factory.mktemp('run') / 'epoch_9.pth'
    torch.save({'state_dict': state | {'neck.mlp.0.weight': torch.zeros(3), 'head.weight': torch.zeros(2)}}, path)
    return path, network


def test_the_command_offers_what_there_is():
    assert (*TARGETS, ONNX) == _TARGETS


@torch.no_grad()
@pytest.mark.parametrize('to', ['torchvision', 'timm', 'mmpretrain', 'detectron2', 'safetensors'])
def test_the_library_computes_the_same(to, resnet18, tmp_path):
    checkpoint, network = resnet18
    expected = torchvision_maps(network, images())[-1]
    path, use = export_network(checkpoint, to, tmp_path / f'a{TARGETS[to].suffix}')
    assert str(path) in use and list(tmp_path.iterdir()) == [path]
    if to == 'torchvision':
        twin = torchvision.models.resnet18()
        exec(use.replace('torchvision.models.resnet18()', 'twin'))
        found = torchvision_maps(twin.eval(), images())[-1]
    elif to == 'timm':
        found = eval(use, {'timm': timm}).eval().forward_features(images())
    elif to == 'mmpretrain':
        init_cfg = eval(use.split('init_cfg=')[1][:-1])
        twin = ResNet(18, init_cfg=init_cfg)
        twin.init_weights()
        twin.eval()
        found = twin(images())[-1]
    elif to == 'detectron2':
        twin = Detectron2ResNet(18).eval()
        arrays = pickle.loads(path.read_bytes())['model']
        twin.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        found = twin.maps(images())[-1]
    else:
        twin = ResNet(18)
        twin.load_state_dict(load_file(path))
        twin.eval()
        found = twin(images())[-1]
    assert expected.abs().max() > 0.1
    assert_close(found, expected)


def test_by_default_it_lies_with_the_run(tmp_path, capsys):
    run = write_run(tmp_path / 'run')
    assert export(str(run), 'safetensors') == run / 'backbone.safetensors'
    assert export(run / 'backbone.pth', 'mmpretrain') == run / 'backbone_mmpretrain.pth'
    assert f'{run}/backbone_mmpretrain.pth, to be loaded by\n    backbone=dict(' in capsys.readouterr().out
    with pytest.raises(ValueError, match='backbone.safetensors exists, and is not overwritten'):
        export(run, 'safetensors')


@pytest.mark.parametrize('to', ['torchvision', 'timm', 'detectron2'])
def test_a_network_that_the_library_does_not_have(to, tmp_path):
    run = write_run(tmp_path / 'run')
    with pytest.raises(ValueError, match=f'{to} is given the ResNets that torchvision has, and .*backbone.pth is '
                       r'another network: .* the nearest is resnet18, with 100 differences: bn1.bias is \(8,\), '
                       r'expected \(64,\).*; .*. --to mmpretrain, safetensors and onnx take any'):
        export(run, to)
    assert sorted(path.name for path in run.iterdir()) == ['backbone.pth', 'small.py']


def test_what_cannot_be(resnet18, tmp_path):
    checkpoint, _ = resnet18
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    torch.save({'state_dict': state, 'meta': Bomb(tmp_path / 'fuse')}, tmp_path / 'bomb.pth')
    state['backbone.bn1.weight'][2] = torch.inf
    torch.save(state, tmp_path / 'infinite.pth')
    for source, to, out, message in [
        (checkpoint, 'caffe', None, "--to must be one of torchvision, .*, onnx, got 'caffe'"),
        (checkpoint, 'timm', tmp_path / 'a.pt', 'a file for timm ends with .pth, got --out .*a.pt'),
        (tmp_path / 'nowhere', 'timm', None, 'nowhere is neither a checkpoint nor a work directory'),
        (tmp_path / 'infinite.pth', 'timm', None, '1 tensors have values that are not finite: bn1.weight'),
        (tmp_path / 'bomb.pth', 'timm', None, 'might run code, so it is not loaded'),
    ]:
        with pytest.raises(ValueError, match=message):
            export(source, to, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['bomb.pth', 'infinite.pth']


@pytest.mark.parametrize('to', ['mmpretrain', 'safetensors'])
def test_a_full_disk(to, tmp_path):
    run = write_run(tmp_path / 'run')
    with patch.object(Path, 'write_bytes', side_effect=OSError(errno.ENOSPC, 'No space left on device')), \
            pytest.raises(ValueError, match='no room left on the disk of'):
        export(run, to)
    assert sorted(path.name for path in run.iterdir()) == ['backbone.pth', 'small.py']


@needs_onnx
def test_onnx_gives_the_features_of_embed(tmp_path):
    import onnx
    import onnxruntime
    run = write_run(tmp_path / 'run')
    pixels = []
    for i in range(3):
        picture = crop(i, 32, 32)
        write(tmp_path / f'images/{i}.png', encoded(picture, 'PNG'))
        pixels.append(np.asarray(picture, np.float32).transpose(2, 0, 1))
    embed(tmp_path / 'images', run, tmp_path / 'a.npy', num_workers=0)
    expected = np.load(tmp_path / 'a.npy')
    path = export(run, 'onnx')
    session = onnxruntime.InferenceSession(str(path))
    assert session.get_inputs()[0].shape[1:] == [3, 32, 32]
    for batch in (slice(0, 1), slice(0, 3)):
        found, = session.run(['embedding'], {'images': np.stack(pixels[batch])})
        np.testing.assert_allclose(found, expected[batch], rtol=1e-4, atol=1e-4)
    properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert properties['channels'] == 'RGB' and properties['weights'] == 'backbone.pth'


@needs_onnx
def test_onnx_of_a_transformer(tmp_path):
    """It is compared with torch for one image and for several before it is written."""
    run = write_run(tmp_path / 'run')
    config = run / 'small.py'
    text = config.read_text()
    backbone = text[text.index('backbone=dict('):text.index('\n', text.index('backbone=dict('))]
    swin = ("backbone=dict(type='SwinTransformer', img_size=32, window_size=4, out_indices=(1, ), "
            "arch=dict(embed_dims=8, depths=[2, 2], num_heads=[2, 2])),")
    config.write_text(text.replace(backbone, swin))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        network = MODELS.build(Config.fromfile(config).model.backbone)
    torch.save(network.state_dict(), run / 'backbone.pth')
    assert export(run, 'onnx').is_file()


@needs_onnx
def test_onnx_is_compared_before_it_is_kept(tmp_path):
    run = write_run(tmp_path / 'run')
    real = onnx_file._export

    def other(module, images, path):
        real(torch.nn.Sequential(module, torch.nn.Softmax(1)), images, path)
    with patch.object(onnx_file, '_export', other), \
            pytest.raises(ValueError, match='onnxruntime gives other features than torch, .* nothing is written'):
        export(run, 'onnx')
    with patch.object(onnx_file, '_export', side_effect=NotImplementedError('no such operator')), \
            pytest.raises(ValueError, match='torch cannot express this network in ONNX .NotImplementedError: no such '
                                            'operator.; --to safetensors takes any'):
        export(run, 'onnx')
    assert sorted(path.name for path in run.iterdir()) == ['backbone.pth', 'small.py']


def test_without_onnx(tmp_path):
    run = write_run(tmp_path / 'run')
    with patch.object(onnx_file, 'find_spec', lambda name: name != 'onnxruntime' or None), \
            pytest.raises(ValueError, match=r"the packages onnxruntime are needed: pip install 'pic_plugin\[onnx\]'"):
        export(run, 'onnx')
