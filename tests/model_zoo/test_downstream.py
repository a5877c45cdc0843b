"""A released file where this plugin is not: the lines of the page and of the model card, in the libraries they name."""
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from torch.testing import assert_close

from pic_plugin.model_zoo.publishing import publish
from tests.checkpoints.networks import images, torchvision_maps, torchvision_network
from tests.tiny import ROOT

SCRIPT = """
import sys, torch
sys.modules['pic_plugin'] = None  # whoever imports it fails
images = torch.load('images.pt')

@torch.no_grad()
def last_map(network):
    network.eval()
    if hasattr(network, 'forward_features'):  # timm
        return network.forward_features(images)
    if hasattr(network, 'avgpool'):  # torchvision
        return torch.nn.Sequential(*list(network.children())[:-2])(images)
    return getattr(network, 'backbone', network)(images)[-1]  # OpenMMLab

maps, scope = {}, {}
for name, code in torch.load('blocks.pt').items():
    if not code.startswith('from safetensors'):  # that one goes on with the network at hand
        scope = {}
    else:
        for tensor in scope['network'].state_dict().values():
            tensor.zero_()
    exec(code, scope)
    maps[name] = last_map(scope['network'])
torch.save(maps, 'maps.pt')
"""


def blocks(text):
    return re.findall(r'```python\n(.+?)```', text, re.S)


def test_each_library_computes_the_same(tmp_path):
    network = torchvision_network(50)
    torch.save(network.state_dict(), tmp_path / 'a.pth')
    folder = publish(tmp_path / 'a.pth', tmp_path / 'releases', ROOT / 'configs/pic/pic_r50_8xb64_200e.py')
    for suffix in ('pth', 'safetensors'):
        path, = folder.glob(f'*.{suffix}')
        shutil.copy(path, tmp_path / f'backbone.{suffix}')
        shutil.copy(path, tmp_path)
    section = (ROOT / 'docs/checkpoints.md').read_text().split('## Load it elsewhere')[1].split('\n## ')[0]
    to_run = {re.search(r'import (\w+)|from (\w+)', code)[0] if 'torchvision' not in code else 'torchvision': code
              for code in blocks(section)}
    assert list(to_run) == ['torchvision', 'import timm', 'from mmpretrain', 'from mmdet', 'from mmseg',
                            'from safetensors']
    for library in ('mmdet', 'mmseg'):
        if find_spec(library) is None:
            del to_run[f'from {library}']
    # safetensors: into torchvision's network, and into mmpretrain's
    by_hand = to_run.pop('from safetensors')
    to_run['timm, safetensors'] = to_run['import timm'].replace('.pth', '.safetensors')
    assert "  # for mmpretrain's, network.backbone" in by_hand
    to_run = {'torchvision': to_run.pop('torchvision'), 'torchvision, safetensors': by_hand,
              'from mmpretrain': to_run.pop('from mmpretrain'),
              'mmpretrain, safetensors': by_hand.replace('network.load', 'network.backbone.load'), **to_run}
    card = (folder / 'README.md').read_text()
    to_run["the card's"] = blocks(card)[0]

    torch.save(to_run, tmp_path / 'blocks.pt')
    torch.save(images(), tmp_path / 'images.pt')
    result = subprocess.run([sys.executable, '-W', 'ignore', '-c', SCRIPT], cwd=tmp_path, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:]
    maps = torch.load(tmp_path / 'maps.pt', weights_only=True)
    assert {'torchvision', 'torchvision, safetensors', 'import timm', 'timm, safetensors', 'from mmpretrain',
            "mmpretrain, safetensors", "the card's"} <= set(maps)
    for name, found in maps.items():
        assert_close(found, torchvision_maps(network, images())[-1], msg=lambda text, name=name: f'{name}: {text}')


@pytest.mark.parametrize('depth', [18, 50])
def test_the_card_names_torchvisions_network(depth, tmp_path):
    torch.save(torchvision_network(depth).state_dict(), tmp_path / 'a.pth')
    config = tmp_path / 'any.py'
    config.write_text(f"model = dict(type='PIC', backbone=dict(type='ResNet', depth={depth}))")
    card = (publish(tmp_path / 'a.pth', tmp_path / 'releases', config) / 'README.md').read_text()
    assert f'network = torchvision.models.resnet{depth}()' in card
    assert "backbone = dict(type='ResNet', depth=" in card
