import os
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from mmengine.logging import HistoryBuffer, MMLogger
from mmengine.runner import Runner

from pic_plugin.engine.hooks import DataWaitHook
from tests.ranks import run_ranks
from tests.tiny import tiny_config, write_images


class Loader(SimpleNamespace):

    def __len__(self):
        return 100


def said(times, num_workers=2, num_iters=3, cores=4, pipeline=''):
    """What the hook says of iterations that waited and took so long in all."""
    lines, buffers = [], {'train/data_time': HistoryBuffer(), 'train/time': HistoryBuffer()}
    loader = Loader(num_workers=num_workers, prefetch_factor=2 if num_workers else None, batch_size=8,
                    dataset=SimpleNamespace(pipeline=pipeline))
    runner = SimpleNamespace(train_dataloader=loader, logger=SimpleNamespace(info=lines.append),
                             message_hub=SimpleNamespace(get_scalar=buffers.get, log_scalars=buffers))
    hook = DataWaitHook(num_iters)
    with patch.object(os, 'sched_getaffinity', lambda pid: set(range(cores))):
        hook.before_train(runner)
        for i, (waited, took) in enumerate(times):
            buffers['train/data_time'].update(waited)
            buffers['train/time'].update(took)
            hook.after_train_iter(runner, i)
    return lines


FIRST = [(9.0, 9.0)] * 4  # what the workers had ready


def test_the_step_is_waited_for():
    assert said(FIRST + [(0.01, 0.5)] * 9) == [
        '16 images a second; 2% of the time goes by waiting for data: the step takes the time, and the loader keeps up']


def test_the_loader_is_waited_for(monkeypatch):
    start = ('10 images a second; 75% of the time goes by waiting for data: that is what the loader gives, and the '
             'step could take up to 40; ')
    times = [(0.6, 0.8)] * 3
    assert said(FIRST + times) == [
        start + 'set train_dataloader.num_workers=4: this machine has 4 cores, and 2 workers for all of its ranks']
    assert said(times, num_workers=0) == [
        start + 'set train_dataloader.num_workers=4: this machine has 4 cores, and 0 workers for all of its ranks']
    pack = 'all 2 cores load images (2 workers): pack them with tools/pack_images.py --short-side 512 --quality 85'
    assert said(FIRST + times, cores=2) == [start + pack]
    assert said(FIRST + times, cores=2, pipeline='Compose(ColorJitter())') == [start + pack]
    monkeypatch.setattr('pic_plugin.engine.hooks.data_wait_hook.get_device', lambda: 'cuda')
    assert said(FIRST + times, cores=2, pipeline='Compose(ColorJitter())') == [
        start + pack + ', and have the device change colours, as configs/_base_/imagenet_instances.py does']


def test_too_few_iterations_say_nothing():
    assert said(FIRST + [(0.1, 0.2)] * 2) == []


def on_ranks(rank, world_size):
    return said([((0.1, 0.6)[rank], 1.0)] * 3, num_workers=0)


def test_the_rank_that_waits_most_counts():
    out = run_ranks(on_ranks, 2)
    assert out[1] == [] and out[0][0].startswith('16 images a second; 60% of the time goes by waiting')
    assert 'num_workers=2: this machine has 4 cores' in out[0][0]


def test_a_wrong_argument():
    with pytest.raises(ValueError, match='num_iters must be positive, got 0'):
        DataWaitHook(0)


def test_in_training(tmp_path, monkeypatch):
    lines = []
    cfg = tiny_config(write_images(tmp_path / 'images', 12), tmp_path / 'run',
                      **{'default_hooks.data_wait.num_iters': 2, 'log_level': 'INFO'})
    runner = Runner.from_cfg(cfg)
    monkeypatch.setattr(MMLogger, 'info', lambda self, text, *args: lines.append(str(text)))
    runner.train()
    assert sum('images a second; ' in line for line in lines) == 1


def test_without_a_timer(tmp_path):
    cfg = tiny_config(write_images(tmp_path / 'images', 12), tmp_path / 'run',
                      **{'default_hooks.data_wait.num_iters': 2, 'default_hooks.timer': None,
                         'train_cfg.max_epochs': 1})
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 3
