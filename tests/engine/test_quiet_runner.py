"""What the console shows until training starts, and what it is told then."""
import os
import re
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.utils.data import Dataset

from pic_plugin.engine.quiet_runner import ConfigKeepingRunner, QuietRunner
from tests.tiny import assert_same, network_of, tiny_config, write_images


@HOOKS.register_module(force=True)
class TalkHook(Hook):
    """Speaks through the runner's logger and by print_log, as something that is not ours."""

    def before_train(self, runner):
        runner.logger.info('host speaks')
        print_log('host prints', 'current')
        runner.logger.warning('host warns')
        runner.logger.error('host fails')

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        runner.logger.info('host is heard')


def trained(images, work_dir, runner_class=QuietRunner, **changes):
    cfg = tiny_config(images, work_dir, **{'log_level': 'INFO', 'train_cfg.max_epochs': 1, **changes})
    cfg.custom_hooks.append(dict(type='TalkHook'))
    runner = runner_class.from_cfg(cfg)
    runner.train()
    return runner


def written(work_dir):
    """The lines of the last log file."""
    return max(Path(work_dir).glob('*/*.log')).read_text()


def test_the_console_shows_what_is_of_this_training_and_the_file_all(tmp_path, capsys):
    images = write_images(tmp_path / 'images', 22)
    trained(images, tmp_path / 'run')
    console = capsys.readouterr().out
    before, after = console[:console.index('data: 22 images')], console[console.index('data: 22 images'):]
    assert f'22 images in {images}; left out: nothing' in before
    assert 'host warns' in before and 'host fails' in before
    assert 'host is heard' in after and 'Epoch(train)' in after
    file = written(tmp_path / 'run')
    for text in ('System environment', 'Config:', 'Hooks will be executed', 'Checkpoints will be saved', 'host speaks',
                 'host prints', 'FileClient', 'SyncBatchNorm'):
        assert text not in console and text in file
    assert 'HardDiskBackend' not in console  # mmengine speaks of it once in a process
    assert before.count('\n') < 10
    assert re.sub(r'\x1b\[\d+m', '', after).count('\n') == file[file.index('data: 22 images'):].count('\n')


@pytest.mark.parametrize('moment', ['before_val', 'before_test'])
def test_what_is_measured_without_training_is_shown(tmp_path, capsys, moment):
    cfg = tiny_config(write_images(tmp_path / 'images', 22), tmp_path / 'run', log_level='INFO')
    runner = QuietRunner.from_cfg(cfg)
    print_log('before', 'current')
    runner.call_hook(moment)
    print_log('afterwards', 'current')
    out = capsys.readouterr().out
    assert 'afterwards' in out and 'before' not in out


def test_what_is_resumed_and_how_rates_are_scaled_is_shown(tmp_path, capsys):
    images = write_images(tmp_path / 'images', 22)
    trained(images, tmp_path / 'run')
    capsys.readouterr()
    changes = {'auto_scale_lr': dict(enable=True, base_batch_size=8), 'train_cfg.max_epochs': 2, 'resume': True}
    trained(images, tmp_path / 'run', **changes)
    console = capsys.readouterr().out
    start = console[:console.index('Epoch(train)')]
    for text in ('resumed epoch: 1, iter: 6', 'LR is set based on batch size of 8 and the current batch size is 4',
                 'length: 2 epochs of 6 iterations: 12 iterations of 4 images; 6 are done'):
        assert text in start, start


class Talking(Dataset):
    """Writes to file descriptor 2, as decoders in C do."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        os.write(2, b'libpng warning\n')
        return index, torch.initial_seed()


@pytest.mark.parametrize('kind, said', [(QuietRunner, ''), (ConfigKeepingRunner, 'libpng warning\n' * 4)])
def test_what_decoders_say_in_workers(kind, said, capfd):
    loader = kind.build_dataloader(dict(
        batch_size=2, num_workers=1, dataset=Talking(), sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate')), seed=7)
    indices, seeds = (torch.cat(parts).tolist() for parts in zip(*loader))
    assert indices == [0, 1, 2, 3] and seeds == [7] * 4  # as mmengine starts workers
    assert capfd.readouterr().err == said


def test_training_is_the_runners_to_the_bit(tmp_path):
    images = write_images(tmp_path / 'images', 22)
    quiet, loud = (network_of(trained(images, tmp_path / kind.__name__, kind)) for kind in (QuietRunner, Runner))
    assert_same(quiet, loud)


@pytest.mark.parametrize('changes, texts', [
    ({}, ['data: 22 images (InstanceDataset), in windows of 10 that move by 5',
          'model: PIC of TinyBackbone, CosineInstanceHead; 858 parameters to train, and a row of 6 for each '
          'image; in the softmax are the 8 visited last, the others in memory',
          'length: 1 epochs of 6 iterations: 6 iterations of 4 images; the time left is the eta of each line below',
          'optimizer: SGD, learning rate 0.2, momentum 0.9, weight decay 0.01', 'device: CPU, float32',
          'a checkpoint every 1 epochs']),
    ({'model.head.table': 'disk'}, ['the 8 visited last, the others in a file']),
    ({'model.head.num_negatives': None}, ['in the softmax are all rows']),
    ({'optim_wrapper.accumulative_counts': 2}, ['weight decay 0.01; a step every 2 iterations']),
    ({'optim_wrapper.row_optimizer': dict(type='SGD', lr=0.3, momentum=0.8),
      'optim_wrapper.optimizer': dict(_delete_=True, type='AdamW', lr=0.001, weight_decay=0.05)},
     ['optimizer: AdamW, learning rate 0.001, weight decay 0.05; for the rows SGD, learning rate 0.3, momentum 0.8']),
    ({'train_dataloader.sampler': dict(_delete_=True, type='DefaultSampler', shuffle=True)},
     ['data: 22 images (InstanceDataset)\n']),
])
def test_summary(tmp_path, changes, texts, capsys):
    trained(write_images(tmp_path / 'images', 22), tmp_path / 'run', **changes)
    out = capsys.readouterr().out
    for text in texts:
        assert text in out, out
    log = re.search(r'results: (.*), the full log in (.*\.log)', out)
    assert Path(log[1], log[2]).is_file()
