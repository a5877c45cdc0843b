"""A backbone to go on from computes the features of the network that it was saved from."""
import copy
from types import SimpleNamespace
from unittest import mock

import pytest
import timm
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain import get_model as mmpretrain_model
from mmpretrain.registry import MODELS
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close
from torchvision.models import VisionTransformer, get_model

from pic_plugin.model_zoo.start import find_start
from tests.checkpoints.networks import Bomb, randomised
from tests.tiny import assert_same

SIZE = 32
TINY = dict(img_size=SIZE, depth=2, num_classes=5)


def timm_network(name, **options):
    torch.manual_seed(0)
    return _lively(timm.create_model(name, **options))


def _lively(network):
    """Random values where a network starts with ones and zeros, and would hide that a tensor is another's."""
    randomised(network)
    for name, parameter in network.named_parameters():
        if name.endswith(('bias', 'gamma')) or 'token' in name or 'pos' in name:
            nn.init.normal_(parameter, 0.3, 0.3)
    return network


@torch.no_grad()
def features_of(start, images):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        network = MODELS.build(start.backbone)
    network.load_state_dict(start.state, strict=False)
    network.eval()
    return network(images)[-1]


def images(size=SIZE):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def assert_gives(source, host, size=SIZE):
    start, expected = find_start(str(source)), host(images(size))
    assert expected.std() > 1e-4
    assert_close(features_of(start, images(size)), expected)
    assert start.features(size) == (expected.shape[1], expected.ndim == 4)
    return start


def saved(network, path):
    if path.suffix == '.safetensors':
        save_file(network.state_dict(), path)
    else:
        torch.save(network.state_dict(), path)
    return path


def without_top(network):
    network = copy.deepcopy(network)
    network.avgpool = network.fc = nn.Identity()
    return lambda x: network(x).unflatten(1, (-1, x.shape[2] // 32, x.shape[3] // 32))


@pytest.mark.parametrize('name', ['resnet18', 'resnext50_32x4d', 'wide_resnet50_2'])
def test_resnets_of_torchvision(tmp_path, name):
    network = randomised(get_model(name, weights=None))
    start = assert_gives(saved(network, tmp_path / 'my weights.pth'), without_top(network), 64)
    assert start.architecture == name


@pytest.mark.parametrize('name, options', [
    ('vit_tiny_patch16_224', TINY),
    ('vit_small_patch14_dinov2', {**TINY, 'img_size': 42}),  # facebook's names are these
    ('deit3_small_patch16_224', {**TINY, 'qkv_bias': False, 'no_embed_class': False}),
])
@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_transformers_of_timm(tmp_path, name, options, suffix):
    network = timm_network(name, **options)
    start = assert_gives(saved(network, tmp_path / f'weights{suffix}'),
                         lambda x: network.forward_features(x)[:, 0], options['img_size'])
    assert start.architecture == start.backbone['type'] == 'VisionTransformer'


def test_dinov2_has_a_token_for_masked_patches(tmp_path):
    network = timm_network('vit_small_patch14_dinov2', **{**TINY, 'img_size': 42})
    torch.save({**network.state_dict(), 'mask_token': torch.ones(1, 384)}, tmp_path / 'dinov2_vits14_pretrain.pth')
    assert_gives(tmp_path / 'dinov2_vits14_pretrain.pth', lambda x: network.forward_features(x)[:, 0], 42)


def test_a_transformer_of_torchvision(tmp_path):
    torch.manual_seed(0)
    network = _lively(VisionTransformer(SIZE, 16, 2, 3, 192, 300, num_classes=5))
    path = saved(network, tmp_path / 'weights.pth')
    network.heads = nn.Identity()
    assert_gives(path, network)


def test_a_transformer_of_mmpretrain_under_any_prefix(tmp_path):
    network = mmpretrain_model('deit-small_4xb256_in1k', backbone=dict(img_size=SIZE))
    _lively(network)
    torch.save({'state_dict': {f'module.{key}': value for key, value in network.state_dict().items()}, 'meta': {}},
               tmp_path / 'weights.pth')
    assert_gives(tmp_path / 'weights.pth', lambda x: network.backbone(x)[-1])


def test_any_network_of_timm_by_its_name(tmp_path):
    network = timm_network('convnext_atto', num_classes=5)
    path = saved(network, tmp_path / 'a=b.pth')
    network.reset_classifier(0, '')
    start = assert_gives(f'convnext_atto={path}', network)
    assert start.backbone['type'] == 'TIMMBackbone' and start.architecture == 'convnext_atto'


def test_transformers_of_timm_that_are_none_of_mmpretrains_give_a_map(tmp_path):
    network = timm_network('vit_small_patch16_dinov3')
    path = saved(network, tmp_path / 'weights.pth')

    def last_map(x):
        return network.forward_intermediates(x, indices=1, norm=False, intermediates_only=True)[-1]

    assert_gives(f'vit_small_patch16_dinov3={path}', last_map, 64)


def test_any_network_of_mmpretrain_by_its_name(tmp_path):
    network = mmpretrain_model('mobilenet-v2_8xb32_in1k')
    randomised(network)
    assert_gives(f'mobilenet-v2_8xb32_in1k={saved(network, tmp_path / "weights.pth")}',
                 lambda x: network.backbone(x)[-1], 64)


def test_mmpretrains_name_in_foreign_names(tmp_path):
    options = dict(img_size=518, num_classes=0)
    network = timm_network('vit_small_patch14_dinov2', **options)
    path = saved(network, tmp_path / 'weights.pth')
    start = find_start(f'vit-small-p14_dinov2-pre_3rdparty={path}')
    assert start.backbone['arch'] == 'dinov2-small'
    assert_same(start.state, find_start(str(path)).state)


def test_names_alone_are_downloaded(tmp_path, monkeypatch):
    network = mmpretrain_model('resnet18_8xb32_in1k')
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))

    def download(url, path):
        assert url.startswith('https://') and url.endswith('.pth')
        torch.save(network.state_dict(), path)

    with mock.patch('torch.hub.download_url_to_file', side_effect=download) as downloads:
        starts = [find_start('resnet18_8xb32_in1k') for _ in range(2)]
    assert downloads.call_count == 1
    for start in starts:
        assert_same(start.state, network.backbone.state_dict())


def test_timms_weights(monkeypatch):
    network, asked = timm.create_model('resnet18'), []
    monkeypatch.setattr(timm, 'create_model', lambda name, **options: asked.append((name, options)) or network)
    start = find_start('resnet18.a1_in1k')
    assert asked == [('resnet18.a1_in1k', dict(pretrained=True, num_classes=0))]
    assert start.architecture == 'resnet18' and torch.equal(start.state['conv1.weight'], network.conv1.weight)
    monkeypatch.setattr(timm, 'create_model', mock.Mock(side_effect=OSError('no route to host')))
    with pytest.raises(ValueError, match='timm gives no weights of this network: no route to host'):
        find_start('resnet18.a1_in1k')


def test_runs_and_files_beside_their_config(tmp_path):
    config = Config(dict(model=dict(backbone=dict(
        type='ResNet', depth=18, stem_channels=4, base_channels=4, in_channels=1,
        init_cfg=dict(type='Pretrained', checkpoint='elsewhere')))))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        backbone = MODELS.build({key: value for key, value in config.model.backbone.items() if key != 'init_cfg'})
    config.dump(tmp_path / 'config.py')
    torch.save(backbone.state_dict(), tmp_path / 'backbone.pth')
    for source in (tmp_path, tmp_path / 'backbone.pth'):
        start = find_start(str(source))
        assert_same(start.state, backbone.state_dict())
        assert start.in_channels == 1 and 'init_cfg' not in start.backbone and start.features(32) == (32, True)
    (tmp_path / 'config.py').unlink()
    with pytest.raises(ValueError, match='does not say by itself which network it is of.*--from NAME='):
        find_start(str(tmp_path / 'backbone.pth'))


def test_a_program_beside_weights_that_tell_is_not_run(tmp_path):
    saved(get_model('resnet18', weights=None), tmp_path / 'weights.pth')
    (tmp_path / 'mine.py').write_text('raise SystemExit')
    assert find_start(str(tmp_path / 'weights.pth')).architecture == 'resnet18'


@pytest.mark.parametrize('source, message', [
    ('nonsense', "--from nonsense: there is no such file or folder, and neither mmpretrain nor timm has a network of "),
    ('resnet50=/no/where', '--from resnet50=/no/where must be NAME=FILE, and there is no file /no/where'),
    ('', 'there is no such file or folder'),
])
def test_no_source(source, message):
    with pytest.raises(ValueError, match=message):
        find_start(source)


def test_timm_is_not_there():
    with mock.patch.dict('sys.modules', timm=None), pytest.raises(ValueError, match='not installed: pip install timm'):
        find_start('convnext_atto')


def test_a_network_without_weights():
    with mock.patch('pic_plugin.model_zoo.start.mmpretrain_model', return_value=SimpleNamespace(weights=None)), \
            pytest.raises(ValueError, match='mmpretrain has no weights of this network; give NAME=FILE'):
        find_start('some-network')


@pytest.mark.parametrize('change, message', [
    (lambda state: {**state, 'reg_token': torch.ones(1, 4, 192)}, 'reg_token is .1, 4, 192., expected none'),
    (lambda state: {key: value for key, value in state.items() if 'pos_embed' not in key}, 'without .* or pos_embed'),
    (lambda state: {**state, 'pos_embed': torch.ones(1, 7, 192)}, 'it has 7 positions'),
    (lambda state: {**state, 'patch_embed.proj.weight': torch.ones(100, 3, 16, 16)}, 'its width is 100'),
    (lambda state: {**state, 'norm.bias': torch.full((192, ), torch.nan)}, 'not finite: ln1.bias'),
    (lambda state: {key: value for key, value in state.items() if 'blocks.1.mlp' not in key},
     'layers.1.ffn.layers.0.0.bias is missing'),
])
def test_other_transformers(tmp_path, change, message):
    torch.save(change(timm_network('vit_tiny_patch16_224', **TINY).state_dict()), tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match=message):
        find_start(str(tmp_path / 'weights.pth'))


def test_weights_of_another_network(tmp_path):
    path = saved(get_model('resnet18', weights=None), tmp_path / 'weights.pth')
    for name in ('swin-tiny_16xb64_in1k', 'convnext_atto', 'vit_tiny_patch16_224'):
        with pytest.raises(ValueError, match='backbone is not what the config describes'):
            find_start(f'{name}={path}')


def test_no_code_is_run(tmp_path):
    torch.save({'state_dict': get_model('resnet18', weights=None).state_dict(), 'opt': Bomb(tmp_path / 'fuse')},
               tmp_path / 'weights.pth')
    assert find_start(str(tmp_path / 'weights.pth')).architecture == 'resnet18'
    assert not (tmp_path / 'fuse').exists()


def test_images_and_features_that_do_not_fit(tmp_path):
    path = saved(timm_network('swin_tiny_patch4_window7_224', num_classes=0), tmp_path / 'weights.pth')
    start = find_start(f'swin_tiny_patch4_window7_224={path}')
    with pytest.raises(ValueError, match='does not take images of 64 pixels'):
        start.features(64)
    with pytest.raises(ValueError, match=r'must give a map \[B, C, H, W\] or a vector .* got \[2, 7, 7, 768\]'):
        start.features(224)
