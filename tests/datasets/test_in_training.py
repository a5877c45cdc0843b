"""What the runner does with a data set that has something in it."""
import os

import pytest
import torch
from mmengine.runner import Runner

from tests.tiny import assert_same, network_of, rows_of, tiny_config, write_images
from tests.tools.scripts import run_tool


def trained(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def test_two_images_never_share_a_row(tmp_path):
    cfg = tiny_config(write_images(tmp_path / 'images', 12), tmp_path / 'run')
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[cfg.train_dataloader.dataset] * 2)
    with pytest.raises(ValueError, match=r'got a ConcatDataset, which wraps others\. With an InstanceDataset, set'):
        trained(cfg)


def test_a_run_goes_on_from_a_pack_of_its_folder(tmp_path):
    folder, path = write_images(tmp_path / 'images', 12), tmp_path / 'x.pack'
    run_tool('pack_images.py', folder, path)
    expected = trained(tiny_config(folder, tmp_path / 'whole'))
    packed = trained(tiny_config(path, tmp_path / 'packed'))
    trained(tiny_config(folder, tmp_path / 'run', **{'train_cfg.max_epochs': 2}))
    resumed = trained(tiny_config(path, tmp_path / 'run', resume=True))
    for runner in (packed, resumed):
        assert_same(network_of(runner), network_of(expected))
        assert all(map(torch.equal, rows_of(runner), rows_of(expected)))


def test_names_that_are_no_utf_8(tmp_path):
    folders = [write_images(tmp_path / name, 12) for name in 'xy']
    os.rename(folders[0] / 'a/000.png', os.fsencode(folders[0]) + b'/a/caf\xe9.png')
    with open(os.fsencode(folders[1]) + b'/b/\xff.png', 'wb'):
        pass
    changes = {'train_dataloader.dataset.data_root': [str(folder) for folder in folders],
               'custom_hooks.0.max_unreadable_share': 0.05, 'log_level': 'INFO'}
    trained(tiny_config(tmp_path, tmp_path / 'run', **changes, **{'train_cfg.max_epochs': 2}))
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert f'25 images in {folders[0]}, {folders[1]}; left out: nothing' in log
    assert f'left out of the loss, cannot be read: {folders[1]}/b/\\udcff.png (ValueError: empty, or not there)' in log
    assert trained(tiny_config(tmp_path, tmp_path / 'run', **changes, resume=True)).epoch == 4
    changes['train_dataloader.dataset.data_root'].reverse()
    with pytest.raises(ValueError, match="files have other names or another order than the checkpoint's"):
        trained(tiny_config(tmp_path, tmp_path / 'run', **changes, resume=True))
