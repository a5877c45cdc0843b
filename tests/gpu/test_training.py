"""Trainings through the real Runner on one GPU, from the pretend GPU's scenarios to the quickstart."""
import os
import re
import subprocess
import sys

import mmengine.device.utils
import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from tests.pretend_gpu.training import NUM_IMAGES, NUM_ITERS, SCENARIOS, config_of
from tests.tiny import ROOT, assert_same, trained_state, write_images

from . import needs_gpus

pytestmark = needs_gpus(1)

HALF = ('bfloat16', 'float16')
NUM_EPOCHS = 8


def settings(scenario, folder, name, **changes):
    cfg = config_of(scenario, folder / 'images', folder / name)
    cfg.merge_from_dict({'train_cfg.max_epochs': NUM_EPOCHS, 'param_scheduler.1.end': NUM_EPOCHS,
                         'default_hooks.checkpoint.interval': NUM_EPOCHS // 2, **changes})
    return cfg


def train(cfg, device='cuda'):
    """What training ends with, on the CPU, and the loss of each iteration."""
    cfg.custom_hooks += [dict(type='HandOverHook')] if device == 'cpu' else []  # views of floats there, too
    runner = Runner.from_cfg(cfg)
    assert next(runner.model.parameters()).device.type == device
    runner.train()
    tensors = trained_state(runner)
    losses = np.array(runner.message_hub.get_scalar('train/loss').data[0])
    return {name: tensor.cpu() for name, tensor in tensors.items()}, losses


@pytest.mark.parametrize('scenario', SCENARIOS)
def test_the_loss_falls_and_a_resumed_run_has_the_bits_of_the_unbroken_one(tmp_path, scenario):
    write_images(tmp_path / 'images', NUM_IMAGES)
    deterministic = {'randomness.deterministic': True}
    whole, losses = train(settings(scenario, tmp_path, 'whole', **deterministic))
    assert np.isfinite(losses).all() and losses[-NUM_ITERS:].mean() < losses[:NUM_ITERS].mean()
    cfg = settings(scenario, tmp_path, 'resumed', **deterministic)
    cfg.load_from, cfg.resume = str(tmp_path / f'whole/epoch_{NUM_EPOCHS // 2}.pth'), True
    assert_same(train(cfg)[0], whole)


@pytest.mark.parametrize('scenario', [name for name in SCENARIOS if name not in HALF])
def test_float32_trains_to_what_the_cpu_does(tmp_path, scenario, monkeypatch):
    write_images(tmp_path / 'images', NUM_IMAGES)
    changes = {'default_hooks.device.float32_matmul_precision': 'highest'}
    on_gpu, _ = train(settings(scenario, tmp_path, 'gpu', **changes))
    monkeypatch.setattr(mmengine.device.utils, 'DEVICE', 'cpu')
    on_cpu, _ = train(settings(scenario, tmp_path, 'cpu', **changes), 'cpu')
    assert on_gpu.keys() == on_cpu.keys()
    for name, tensor in on_gpu.items():
        torch.testing.assert_close(tensor, on_cpu[name], rtol=1e-3, atol=1e-3, msg=lambda text, n=name: f'{n}: {text}')


@HOOKS.register_module(force=True)
class WaitForNothingHook(Hook):
    """From its second epoch on, an iteration that makes the host wait for the GPU fails, and says where."""

    priority = 'HIGHEST'

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if NUM_ITERS < runner.iter < 2 * NUM_ITERS - 1:
            torch.cuda.set_sync_debug_mode('error')

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        runner.looked_at = getattr(runner, 'looked_at', 0) + (torch.cuda.get_sync_debug_mode() == 2)
        torch.cuda.set_sync_debug_mode('default')


# a gradient scaler asks in each step whether it is to be skipped
@pytest.mark.parametrize('scenario', [name for name in SCENARIOS if name != 'float16'])
def test_the_host_waits_for_nothing(tmp_path, scenario):
    write_images(tmp_path / 'images', NUM_IMAGES)
    cfg = config_of(scenario, tmp_path / 'images', tmp_path / 'run')
    cfg.custom_hooks.append(dict(type='WaitForNothingHook'))
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.looked_at == NUM_ITERS - 2


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    command(folder, 'tools/dataset_converters/write_digits.py')
    return folder


def command(folder, script, *options):
    """Output of a project's command, run in a folder."""
    environment = {**os.environ, 'PYTHONPATH': f'{ROOT}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'}
    result = subprocess.run([sys.executable, ROOT / script, *options], cwd=folder, env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert result.returncode == 0, result.stdout[-5000:]
    return result.stdout


OPTIONS = {
    'float32': [], 'bf16': ['--amp', 'bf16'], 'fp16': ['--amp', 'fp16'],
    'compiled': ['--cfg-options', 'default_hooks.device.compile_backbone=True'],
}


@pytest.mark.parametrize('name', OPTIONS)
def test_the_quickstart_and_its_last_epochs_again(digits, name):
    config = next((ROOT / 'configs/pic').glob('*digits.py'))
    for work_dir, resume in ((name, []), (f'{name}-resumed', ['--resume', f'{name}/epoch_36.pth'])):
        out = command(digits, 'tools/train.py', config, '--work-dir', work_dir, *resume, *OPTIONS[name])
        accuracy = float(re.findall(r'Epoch\(knn\) \[40/40\]  knn/top1_k20: ([\d.]+)', out)[-1])
        assert accuracy >= 95
