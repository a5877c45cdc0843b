"""Settings for accelerators, put to work on the CPU: they change nothing but rounding."""
import os
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from torch import nn

from pic_plugin.engine.hooks import DeviceSettingsHook, device_settings_hook
from tests.tiny import ROOT, assert_same, network_of, rows_of, tiny_config, write_images


@MODELS.register_module(force=True)
class TinyConvolutions(BaseModule):
    """In the parameters' precision."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3))
        self.seen = []

    def forward(self, x):
        if self.training and not torch.compiler.is_compiling():
            self.seen.append(x.is_contiguous(memory_format=torch.channels_last))
        return (self.layers(x.to(self.layers[0].weight.dtype)).mean((2, 3)), )


@pytest.fixture
def accelerator(monkeypatch):
    """Take the CPU for one."""
    monkeypatch.setattr(device_settings_hook, '_is_on_accelerator', lambda module: True)


@pytest.fixture
def precision():
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture
def train(tmp_path):
    images = write_images(tmp_path / 'images', 23)

    def run(name, resume=False, **device):
        cfg = tiny_config(images, tmp_path / name, resume=resume, **{
            'default_hooks.device': dict(dict(channels_last=False, float32_matmul_precision=None), **device),
            'train_dataloader.dataset.pipeline.0.color_type': 'color',
            'model.data_preprocessor': dict(mean=[127.0] * 3, std=[64.0] * 3),
            'model.backbone.type': 'TinyConvolutions', 'optim_wrapper.optimizer.fused': True})
        runner = Runner.from_cfg(cfg)
        runner.model.double()
        runner.train()
        return runner

    return run


def assert_close(a, b):
    for x, y in zip([*rows_of(a), *network_of(a).values()], [*rows_of(b), *network_of(b).values()]):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-11)


def strides(runner):
    return [(p.stride(), runner.optim_wrapper.optimizer.state[p]['momentum_buffer'].stride())
            for p in runner.model.backbone.parameters()]


def test_nothing_is_set_on_a_cpu(train, precision):
    settings = dict(float32_matmul_precision='medium', channels_last=True, compile_backbone=True)
    plain, other = train('plain'), train('other', **settings)
    assert_same(network_of(plain), network_of(other))
    assert strides(plain) == strides(other)
    assert torch.get_float32_matmul_precision() != 'medium'


@pytest.mark.parametrize('settings', [
    dict(channels_last=True), dict(compile_backbone=dict(backend='aot_eager')),
    dict(channels_last=True, compile_backbone=dict(backend='aot_eager'))], ids=lambda settings: '-'.join(settings))
def test_nothing_but_rounding_changes(train, accelerator, settings):
    plain, other = train('plain'), train('other', **settings)
    assert plain.model.backbone.seen == [False] * 24
    assert_close(plain, other)
    if 'channels_last' in settings:
        assert other.model.backbone.layers[3].weight.is_contiguous(memory_format=torch.channels_last)
        assert all(parameter == momentum for parameter, momentum in strides(other))
        assert strides(plain) != strides(other)
    assert other.model.backbone.seen == ([] if 'compile_backbone' in settings else [True] * 24)


def test_a_checkpoint_of_either_layout_resumes_in_the_other(train, accelerator, tmp_path):
    whole = train('whole')
    for first, then in ((False, True), (True, False)):
        name = f'run-{first}'
        train(name, channels_last=first)
        for path in (tmp_path / name).glob('epoch_[34].*'):
            path.rename(path.with_name(f'later-{path.name}'))
        (tmp_path / name / 'last_checkpoint').write_text(str(tmp_path / name / 'epoch_2.pth'))
        resumed = train(name, resume=True, channels_last=then)
        assert len(resumed.model.backbone.seen) == 12
        assert all(parameter == momentum for parameter, momentum in strides(resumed))
        assert_close(whole, resumed)


def test_precision_of_products(train, accelerator, precision):
    train('run', float32_matmul_precision='high')
    assert torch.get_float32_matmul_precision() == 'high'
    with pytest.raises(ValueError, match="must be None or one of highest, high, medium, got 'tf32'"):
        DeviceSettingsHook(float32_matmul_precision='tf32')


@pytest.mark.parametrize('deterministic, expected', [(False, None), (True, ':4096:8')])
def test_cublas_is_let_be_deterministic(accelerator, monkeypatch, deterministic, expected):
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', '')  # put back at the end
    del os.environ['CUBLAS_WORKSPACE_CONFIG']
    model = nn.Module()
    model.backbone = nn.Linear(2, 2)
    DeviceSettingsHook().before_run(SimpleNamespace(model=model, deterministic=deterministic))
    assert os.environ.get('CUBLAS_WORKSPACE_CONFIG') == expected


HOSTS = ('two_branches', 'glyphs/moco', 'glyphs/simclr', 'glyphs/supervised')  # mmpretrain's own methods and runtime
CONFIGS = [path for path in sorted((ROOT / 'configs').rglob('*.py')) if path.parent.name != '_base_'
           and not str(path.relative_to(ROOT / 'configs')).startswith(HOSTS)]


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_configs_of_one_image_size_have_all_of_it(path):
    cfg = Config.fromfile(path)
    of_one_size = 'detection' not in path.parts and 'segmentation' not in path.parts
    assert cfg.default_hooks.device == dict(type='mmpretrain.DeviceSettingsHook', float32_matmul_precision='high', **(
        dict(channels_last=True) if of_one_size else {}))
    assert cfg.env_cfg.cudnn_benchmark == of_one_size
    assert cfg.env_cfg.dist_cfg == dict(backend='nccl', timeout=3600)
