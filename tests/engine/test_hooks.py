"""Faults give an error that says what is expected and what to do, and lose nothing."""
import copy
import errno
import os
import pickle
import subprocess
from enum import Enum
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.distributed.checkpoint.metadata import BytesStorageMetadata

from pic_plugin.engine.checksums import read_sums, sha256, write_sums
from pic_plugin.engine.hooks import instance_rows_hook
from tests.tiny import assert_same, network_of, rows_of, tiny_config, write_images


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / 'images', 23)


def trained(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@HOOKS.register_module(force=True)
class SpoilHook(Hook):
    """Makes something not finite at the start of an iteration."""

    priority = 'VERY_HIGH'  # before this iteration's rows are moved

    def __init__(self, what, at):
        self.what, self.at = what, at

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.at:
            if self.what == 'lr':
                runner.optim_wrapper.optimizer.param_groups[0]['lr'] = float('nan')
            else:
                with torch.no_grad():
                    next(runner.model.backbone.parameters()).fill_(torch.nan)


@pytest.mark.parametrize('changes, message', [
    ({'train_dataloader.sampler.window_size': 24}, 'window_size must be at most the size of the data set, 23, got 24'),
    ({'train_dataloader.sampler.window_stride': 11}, 'window_stride must be between 1 and window_size, 10, got 11'),
    ({'train_dataloader.sampler.window_stride': 0}, 'window_stride must be between 1 and window_size, 10, got 0'),
    ({'model.head.num_negatives': 3}, 'num_negatives must be at least the global batch of 4 samples, got 3'),
    ({'model.head.num_negatives': None, 'model.head.label_smoothing': 0.2},
     'num_hard_classes must be less than the 23 classes of the softmax, got 100'),
    ({'model.head.num_instances': 24}, 'num_instances of the head is 24, and the data set has 23 images'),
    ({'optim_wrapper.optimizer': dict(type='AdamW', lr=1e-3, _delete_=True)}, 'optimizer must be SGD'),
    ({'optim_wrapper.type': 'OptimWrapper'}, 'optim_wrapper.type must be WeightCorrectingOptimWrapper'),
    ({'default_hooks.checkpoint.by_epoch': False}, 'by_epoch of InstanceCheckpointHook must be True'),
    ({'custom_hooks': [dict(type='InstanceRowsHook', max_unreadable_share=2)]}, 'max_unreadable_share must be in'),
    ({'model.head': dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), _delete_=True)},
     'model.head must be a CosineInstanceHead'),
])
def test_wrong_settings_are_found_before_the_first_iteration(images, tmp_path, changes, message):
    changes = copy.deepcopy(changes)
    cfg = tiny_config(images, tmp_path / 'run')
    for key, value in changes.items():
        if isinstance(value, dict) and value.pop('_delete_', False):
            parent, _, name = key.rpartition('.')
            cfg.get(parent.split('.')[0])[name] = value
        else:
            cfg.merge_from_dict({key: value})
    with pytest.raises(ValueError, match=message):
        trained(cfg)
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_a_head_without_its_hook(images, tmp_path):
    with pytest.raises(RuntimeError, match="add dict\\(type='InstanceRowsHook'\\)"):
        trained(tiny_config(images, tmp_path / 'run', custom_hooks=[], **{
            'default_hooks.checkpoint.type': 'CheckpointHook'}))


def test_predictions_are_not_validated(images, tmp_path):
    cfg = tiny_config(images, tmp_path / 'run', val_cfg=dict(), val_evaluator=dict(type='Accuracy'))
    cfg.val_dataloader = dict(cfg.train_dataloader, sampler=dict(type='DefaultSampler'))
    with pytest.raises(ValueError, match="and no mode='predict': .* Leave out val_dataloader, val_cfg and"):
        trained(cfg)
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_a_loss_that_is_not_finite(images, tmp_path):
    cfg = tiny_config(images, tmp_path / 'run')
    cfg.custom_hooks.append(dict(type='SpoilHook', what='network', at=9))
    with pytest.raises(FloatingPointError) as error:
        trained(cfg)
    good = tmp_path / 'run/epoch_1.pth'
    assert f'the last good checkpoint is {good}; lower the learning rate and resume from it' in str(error.value)
    assert 'at iteration 11: training stops before any row is written back' in str(error.value)
    # and it is good
    runner = trained(tiny_config(images, tmp_path / 'run', resume=True))
    assert_same(network_of(runner), network_of(trained(tiny_config(images, tmp_path / 'whole'))))


def test_a_loss_that_is_not_finite_is_not_saved(images, tmp_path):
    cfg = tiny_config(images, tmp_path / 'run')
    cfg.custom_hooks.append(dict(type='SpoilHook', what='network', at=5))  # the last iteration of the epoch
    with pytest.raises(FloatingPointError, match='there is no checkpoint yet; lower the learning rate and start'):
        trained(cfg)
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_a_disk_that_fills(images, tmp_path, monkeypatch):
    """The error comes instead of a bus error, and training goes on from the last checkpoint where there is room."""
    reserve, good = os.posix_fallocate, tmp_path / 'run/epoch_1.pth'

    def posix_fallocate(descriptor, start, length):
        if good.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        reserve(descriptor, start, length)

    changes = {'model.head.table': 'disk', 'model.neck': dict(type='LinearNeck', in_channels=6, out_channels=512),
               'model.head.in_channels': 512}  # each row has a page of its own
    with monkeypatch.context() as patch:
        patch.setattr(os, 'posix_fallocate', posix_fallocate)
        with pytest.raises(OSError, match=f'the last good checkpoint is {good}; resume from it') as error:
            trained(tiny_config(images, tmp_path / 'run', **changes))
    assert error.value.errno == errno.ENOSPC
    assert f'the table of rows in {tmp_path}/run/table cannot grow: No space left on device; make' in str(error.value)
    runner = trained(tiny_config(images, tmp_path / 'run', resume=True, **changes))
    assert_same(network_of(runner), network_of(trained(tiny_config(images, tmp_path / 'whole', **changes))))


def test_a_learning_rate_that_is_not_finite(images, tmp_path):
    cfg = tiny_config(images, tmp_path / 'run', param_scheduler=[])
    cfg.custom_hooks.insert(0, dict(type='SpoilHook', what='lr', at=7))
    with pytest.raises(ValueError, match='lr must be finite, got nan at iteration 7; check optim_wrapper.optimizer'):
        trained(cfg)


def test_unreadable_images_are_named_and_left_out(images, tmp_path):
    (images / 'a/004.png').write_bytes(b'no image')
    cfg = tiny_config(images, tmp_path / 'run')
    cfg.custom_hooks[0].max_unreadable_share = 0.05
    runner = trained(cfg)
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert f'left out of the loss, cannot be read: {images}/a/004.png' in log
    assert '1 images could not be read and were left out of the loss' in log
    paths = [runner.train_dataloader.dataset.get_data_info(i)['img_path'] for i in range(23)]
    broken = paths.index(f'{images}/a/004.png')
    assert runner.model.head.allocated.rows.recent.slots(torch.tensor([broken])).item() == -1
    assert runner.model.head.allocated.rows.table.clocks[broken] == 0


def test_too_many_unreadable_images(images, tmp_path):
    for name in ('000', '004'):
        (images / f'a/{name}.png').write_bytes(b'no image')
    cfg = tiny_config(images, tmp_path / 'run')
    cfg.custom_hooks[0].max_unreadable_share = 0.05
    with pytest.raises(ValueError, match='2 of 23 images could not be read, more than max_unreadable_share=0.05'):
        trained(cfg)


@pytest.fixture
def checkpoint(images, tmp_path):
    # each epoch visits all images, so that the second one's changes are not more than the table
    trained(tiny_config(images, tmp_path / 'run', **{
        'train_cfg.max_epochs': 2, 'train_dataloader.sampler.window_size': None,
        'train_dataloader.sampler.window_stride': None}))
    return tmp_path / 'run/epoch_2.pth'


def resume(images, checkpoint, **changes):
    return trained(tiny_config(images, checkpoint.parent, resume=True, load_from=str(checkpoint), **changes))


def test_a_data_set_of_another_size(images, checkpoint):
    (images / 'a/000.png').unlink()
    with pytest.raises(ValueError, match='a data set of 23 images, got one of 22'):
        resume(images, checkpoint)


def test_a_data_set_of_another_order(images, checkpoint):
    (images / 'a/000.png').rename(images / 'b/900.png')
    with pytest.raises(ValueError, match="files have other names or another order than the checkpoint's"):
        resume(images, checkpoint)


def test_another_number_of_negatives(images, checkpoint):
    with pytest.raises(ValueError, match='8 recent classes, expected 9'):
        resume(images, checkpoint, **{'model.head.num_negatives': 9})


def test_from_all_classes_to_recent_ones(images, tmp_path):
    trained(tiny_config(images, tmp_path / 'run', **{'model.head.num_negatives': None, 'train_cfg.max_epochs': 1}))
    with pytest.raises(ValueError, match='training with all classes, expected 8 recent ones'):
        resume(images, tmp_path / 'run/epoch_1.pth')


def test_from_recent_classes_to_all(images, checkpoint):
    with pytest.raises(ValueError, match='training with 8 recent classes, expected all'):
        resume(images, checkpoint, **{'model.head.num_negatives': None})


def test_another_number_of_channels(images, checkpoint, monkeypatch):
    monkeypatch.setattr(instance_rows_hook, 'check_network', lambda runner: None)  # as if the network gave three
    # the network's own shapes would only be warned about by mmengine
    with pytest.raises(ValueError, match=r"cannot be read: weight was expected as \(3,\) .*, got \(6,\)"):
        resume(images, checkpoint, **{'model.head.in_channels': 3})


def test_a_data_set_that_moved_is_the_same(images, checkpoint, tmp_path):
    moved = images.rename(tmp_path / 'elsewhere')
    assert resume(moved, checkpoint).epoch == 4


def test_the_seed_of_the_order_is_the_checkpoints(images, checkpoint):
    runner = resume(images, checkpoint, **{'train_dataloader.sampler.seed': 99})
    assert runner.train_dataloader.sampler.seed == 0


ROW_FILES = ['000/00000/.metadata', '000/00000/__0_0.distcp', '001/00000/.metadata', '001/00000/__0_0.distcp']


@pytest.mark.parametrize('file', [*ROW_FILES, '../epoch_2.pth'])
def test_one_flipped_bit_is_found_and_named(images, checkpoint, file):
    path = checkpoint.parent / 'epoch_2.rows' / file
    content = bytearray(path.read_bytes())
    content[-1] ^= 4  # the end of a zip file is a comment's length, which torch does not look at
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f'checkpoint is damaged: in .*epoch_2.rows, {file} is missing or does not'):
        resume(images, checkpoint)


def test_rows_that_are_missing_or_cut_off(images, checkpoint):
    rows = checkpoint.parent / 'epoch_2.rows'
    shard = rows / ROW_FILES[3]
    shard.write_bytes(shard.read_bytes()[:1000])
    (rows / ROW_FILES[0]).unlink()
    with pytest.raises(ValueError, match=f'{ROW_FILES[0]}, {ROW_FILES[3]} is missing or does not have the checksum'):
        resume(images, checkpoint)
    (rows / 'SHA256SUMS').write_text('nonsense')
    with pytest.raises(ValueError, match='the checksums of the checkpoint, .*SHA256SUMS, cannot be read'):
        resume(images, checkpoint)
    (rows / 'SHA256SUMS').unlink()
    with pytest.raises(ValueError, match='the checksums of the checkpoint, .*SHA256SUMS, cannot be read'):
        resume(images, checkpoint)


def sign(checkpoint):
    """Write the checksums that someone would who has changed a file on purpose."""
    rows = checkpoint.parent / 'epoch_2.rows'
    write_sums(rows, {name: sha256(rows / name) for name in read_sums(rows)})


def test_sha256sum_agrees(checkpoint):
    rows = checkpoint.parent / 'epoch_2.rows'
    checked = subprocess.run(['sha256sum', '--check', 'SHA256SUMS'], cwd=rows, check=True, stdout=subprocess.PIPE)
    names = [*ROW_FILES, '../epoch_2.pth']
    assert sorted(checked.stdout.decode().splitlines()) == sorted(f'{name}: OK' for name in names)


class Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, fuse):
        self.fuse = fuse

    def __reduce__(self):
        return Path.touch, (self.fuse, )


def test_rows_whose_description_would_run_code_are_refused(images, checkpoint, tmp_path):
    fuse = tmp_path / 'exploded'
    path = checkpoint.parent / 'epoch_2.rows' / ROW_FILES[0]
    described = pickle.loads(path.read_bytes())
    described.planner_data = Bomb(fuse)
    path.write_bytes(pickle.dumps(described))
    sign(checkpoint)
    with pytest.raises(ValueError, match='it names pathlib.Path.touch, which does not describe a tensor'):
        resume(images, checkpoint)
    assert not fuse.exists()


class EnumsByName(pickle.Pickler):
    """As Python 3.11.2 pickles them; 3.11.7 writes their values."""

    def reducer_override(self, obj):
        return (getattr, (type(obj), obj.name)) if isinstance(obj, Enum) else NotImplemented


def test_rows_whose_description_names_the_memory_format(images, checkpoint):
    path = checkpoint.parent / 'epoch_2.rows' / ROW_FILES[0]
    described = pickle.loads(path.read_bytes())
    with path.open('wb') as file:
        EnumsByName(file).dump(described)
    sign(checkpoint)
    assert resume(images, checkpoint).epoch == 4


@pytest.mark.parametrize('attribute', ['__class__', 'mro'])
def test_rows_whose_description_asks_for_other_attributes_are_refused(images, checkpoint, attribute):

    class Asks:

        def __reduce__(self):
            return getattr, (torch.Size, attribute)

    path = checkpoint.parent / 'epoch_2.rows' / ROW_FILES[0]
    described = pickle.loads(path.read_bytes())
    described.planner_data = Asks()
    path.write_bytes(pickle.dumps(described))
    sign(checkpoint)
    with pytest.raises(ValueError, match=f'it asks for {attribute} of .*Size.*, which does not describe a tensor'):
        resume(images, checkpoint)


def test_rows_that_hold_a_pickled_object_are_refused(images, checkpoint):
    """torch would unpickle it in turn."""
    path = checkpoint.parent / 'epoch_2.rows' / ROW_FILES[0]
    described = pickle.loads(path.read_bytes())
    name = next(iter(described.state_dict_metadata))
    described.state_dict_metadata[name] = BytesStorageMetadata()
    path.write_bytes(pickle.dumps(described))
    sign(checkpoint)
    with pytest.raises(ValueError, match='BytesStorageMetadata, which does not describe a tensor'):
        resume(images, checkpoint)


def test_a_file_that_would_run_code_is_refused(images, checkpoint, tmp_path):
    fuse = tmp_path / 'exploded'
    state = torch.load(checkpoint, weights_only=True)
    torch.save({**state, 'bomb': Bomb(fuse)}, checkpoint)
    with pytest.raises(ValueError, match='making that might run code, so it is not loaded'):
        resume(images, checkpoint)
    assert not fuse.exists()
    pickle.loads(pickle.dumps(Bomb(fuse)))
    assert fuse.exists()  # it was live


def test_the_config_in_a_checkpoint_is_not_executed(images, checkpoint, tmp_path):
    fuse = tmp_path / 'exploded'
    state = torch.load(checkpoint, weights_only=True)
    state['meta']['config'] = f'open({str(fuse)!r}, "w")'
    torch.save(state, checkpoint)
    sign(checkpoint)
    resume(images, checkpoint)
    assert not fuse.exists()


@pytest.mark.parametrize('content', [b'', b'hello'])
def test_a_file_that_is_no_checkpoint(images, checkpoint, content):
    checkpoint.write_bytes(content)
    with pytest.raises(ValueError, match='is damaged, or no checkpoint'):
        resume(images, checkpoint)


def test_a_checkpoint_without_rows(images, checkpoint):
    state = torch.load(checkpoint, weights_only=True)
    del state['meta']['instance_rows']
    torch.save(state, checkpoint)
    with pytest.raises(ValueError, match='has no rows to resume with; to start from its weights, set load_from'):
        resume(images, checkpoint)
    runner = trained(tiny_config(images, checkpoint.parent / 'new', load_from=str(checkpoint)))
    assert runner.epoch == 4


def test_max_keep_and_backbone(images, tmp_path):
    runner = trained(tiny_config(images, tmp_path / 'run', **{
        'default_hooks.checkpoint.max_keep_ckpts': 2, 'train_cfg.max_epochs': 5}))
    names = sorted(path.name for path in (tmp_path / 'run').glob('epoch_*'))
    assert names == ['epoch_4.pth', 'epoch_4.rows', 'epoch_5.pth', 'epoch_5.rows']
    backbone = torch.load(tmp_path / 'run/backbone.pth', weights_only=True)
    assert_same({f'backbone.{name}': tensor for name, tensor in backbone.items()}, network_of(runner))
    assert (tmp_path / 'run/last_checkpoint').read_text() == str(tmp_path / 'run/epoch_5.pth')


def test_knn_is_logged_like_a_metric(images, tmp_path):
    load = dict(type='LoadImageFromFile', color_type='grayscale')
    loader = dict(batch_size=5, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
                  collate_fn=dict(type='default_collate'),
                  dataset=dict(type='CustomDataset', data_root=str(images), pipeline=[load, dict(type='PackInputs')]))
    cfg = tiny_config(images, tmp_path / 'run')
    hook = dict(type='KNNHook', bank_dataloader=loader, query_dataloader=loader, num_neighbors=(1, 5), interval=2)
    cfg.custom_hooks.append(hook)
    runner = trained(cfg)
    scalars = (next((tmp_path / 'run').glob('*/vis_data/scalars.json'))).read_text()
    assert scalars.count('"knn/top1_k1": 100.0') == 2  # each image is its own nearest neighbour
    assert runner.message_hub.get_scalar('val/knn/top1_k5').data[0].shape == (2, )
    assert runner.model.training
    cfg.custom_hooks[-1]['num_neighbors'] = (24, )
    with pytest.raises(ValueError, match='num_neighbors must be at most the 23 images of bank_dataloader, got 24'):
        trained(cfg)
    cfg.custom_hooks[-1]['num_neighbors'] = (0, )
    with pytest.raises(ValueError, match='num_neighbors must be positive, got 0'):
        Runner.from_cfg(cfg)


def test_rows_are_the_same_with_and_without_checkpoints(images, tmp_path):
    often = rows_of(trained(tiny_config(images, tmp_path / 'often')))
    seldom = rows_of(trained(tiny_config(images, tmp_path / 'seldom', **{'default_hooks.checkpoint.interval': 100})))
    for a, b in zip(often, seldom):
        assert torch.equal(a, b)


@HOOKS.register_module(force=True)
class PrefetchedHook(Hook):
    """Compares what was announced with what came."""

    priority = 'LOW'

    def before_train(self, runner):
        self.announced, self.came = [], []
        head = runner.model.head
        activate = head.activate

        def recording(ids, upcoming):
            self.announced.append(upcoming.tolist())
            return activate(ids, upcoming)

        head.activate = recording

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.came.append([int(sample.sample_idx) for sample in data_batch['data_samples']])


def test_hardest_of_all_classes_without_epochs(images, tmp_path):
    cfg = tiny_config(images, tmp_path / 'run', **{
        'model.head.num_negatives': None, 'model.head.label_smoothing': 0.2, 'model.head.num_hard_classes': 3,
        'param_scheduler': [], 'train_cfg': dict(type='IterBasedTrainLoop', max_iters=4, _delete_=True),
        'default_hooks.checkpoint.by_epoch': False})
    with pytest.raises(ValueError, match='label_smoothing with all classes needs train_cfg.type=EpochBasedTrainLoop'):
        trained(cfg)


@pytest.mark.parametrize('loop', [dict(type='EpochBasedTrainLoop', max_epochs=2),
                                  dict(type='IterBasedTrainLoop', max_iters=12, _delete_=True)])
def test_the_next_batch_is_announced(images, tmp_path, loop):
    cfg = tiny_config(images, tmp_path / 'run', **{
        'param_scheduler': [], 'train_cfg': loop,
        'default_hooks.checkpoint.by_epoch': 'max_epochs' in loop})
    cfg.custom_hooks.append(dict(type='PrefetchedHook'))
    hook = next(hook for hook in trained(cfg).hooks if isinstance(hook, PrefetchedHook))
    assert len(hook.came) == 12
    assert hook.announced[:-1] == hook.came[1:] and {len(ids) for ids in hook.came} == {4}


def test_a_folder_for_the_table(images, tmp_path):
    trained(tiny_config(images, tmp_path / 'run', **{
        'model.head.table': 'disk', 'model.head.table_dir': str(tmp_path / 'fast/disk'), 'train_cfg.max_epochs': 1}))
    assert (tmp_path / 'fast/disk').is_dir() and not (tmp_path / 'run/table').exists()
