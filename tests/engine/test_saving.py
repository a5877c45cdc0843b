"""A training is saved whole or does not start, removes nothing that is not its own, and is found again anywhere."""
import shutil
import threading
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner, find_latest_checkpoint

from tests.tiny import assert_same, tiny_config, trained_state, write_images


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / 'images', 23)


def train(images, work_dir, max_epochs=4, **changes):
    runner = Runner.from_cfg(tiny_config(images, work_dir, **{
        'train_cfg.max_epochs': max_epochs, 'default_hooks.checkpoint.max_keep_ckpts': 1, **changes}))
    runner.train()
    return runner


@pytest.fixture
def whole(images, tmp_path):
    return trained_state(train(images, tmp_path / 'whole'))


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


@pytest.mark.parametrize('template', ['epoch_{}.pt', 'a.b_{}', 'epoch_{}.pth'])
def test_any_file_name(images, tmp_path, template, whole):
    changes = {'default_hooks.checkpoint.filename_tmpl': template}
    train(images, tmp_path / 'run', 2, **changes)
    assert_same(trained_state(train(images, tmp_path / 'run', resume=True, **changes)), whole)
    assert (tmp_path / 'run' / template.format(4)).is_file()
    assert len(list((tmp_path / 'run').glob('*.rows*'))) == 1  # the older ones went with their checkpoints


def rename(run):
    (run / 'epoch_2.pth').rename(run / 'good.pth')
    return run / 'good.pth'


def rename_both(run):
    (run / 'epoch_2.rows').rename(run / 'good')
    return rename(run)


def copy(run):
    shutil.copy(run / 'epoch_2.pth', run / 'good.pth')
    return run / 'good.pth'


def copy_both(run):
    shutil.copytree(run / 'epoch_2.rows', run / 'epoch_2.rows.bak')
    return copy(run)


def move_both(run):
    (run / 'kept').mkdir()
    for name in ('epoch_2.pth', 'epoch_2.rows'):
        (run / name).rename(run / 'kept' / name)
    return run / 'kept/epoch_2.pth'


@pytest.mark.parametrize('keep', [rename, rename_both, copy, copy_both, move_both])
def test_what_was_put_aside_stays_and_is_resumed_from(images, tmp_path, keep, whole):
    run = tmp_path / 'run'
    train(images, run, 2)
    aside = keep(run)
    train(images, run)  # the same names are written again
    assert_same(trained_state(train(images, tmp_path / 'new', resume=True, load_from=str(aside))), whole)
    assert_same(trained_state(train(images, run, resume=True, load_from=str(aside))), whole)
    assert_same(trained_state(train(images, run, resume=True, load_from=str(aside))), whole)


def test_what_others_have_put_there_stays(images, tmp_path):
    run = tmp_path / 'run'
    for name in ('notes.rows/notes.txt', 'epoch_1.rows/notes.txt', 'partial/notes.txt', 'epoch_2.pth/notes.txt'):
        (run / name).parent.mkdir(parents=True)
        (run / name).write_text('precious')
    (run / 'table.rows.csv').write_text('precious')
    (run / 'epoch_3.pth').write_text('precious')
    (run / 'epoch_4.rows').write_text('precious')
    before = content(run)
    train(images, run)
    after = content(run)
    moved = {Path('epoch_2.pth/notes.txt'): Path('epoch_2.pth.kept/notes.txt'),
             Path('epoch_3.pth'): Path('epoch_3.pth.kept')}
    for path, precious in before.items():
        assert after[moved.get(path, path)] == precious
    assert 'is not of this training: it is now' in next(run.glob('*/*.log')).read_text()
    assert sorted(path.name for path in run.glob('epoch_4*')) == ['epoch_4.pth', 'epoch_4.rows', 'epoch_4.rows-1']


def test_a_file_in_the_rows_folder_keeps_it(images, tmp_path):
    train(images, tmp_path / 'run', 1)
    (tmp_path / 'run/epoch_1.rows/notes.txt').write_text('precious')
    train(images, tmp_path / 'run', 2, resume=True)
    assert (tmp_path / 'run/epoch_1.rows/notes.txt').read_text() == 'precious'
    assert not (tmp_path / 'run/epoch_1.pth').exists()


def test_checkpoints_of_the_folder_that_one_was_resumed_from_do_not_count(images, tmp_path):
    changes = {'default_hooks.checkpoint.max_keep_ckpts': 3}
    train(images, tmp_path / 'a', 3, **changes)
    train(images, tmp_path / 'b', 1)
    train(images, tmp_path / 'b', 4, resume=True, load_from=str(tmp_path / 'a/epoch_3.pth'))
    assert sorted(path.name for path in (tmp_path / 'b').glob('*.pth')) == [
        'backbone.pth', 'epoch_1.pth', 'epoch_4.pth']


@pytest.mark.parametrize('original', ['stays', 'is gone'])
def test_a_copied_work_directory_reads_its_own_files(images, tmp_path, original, whole):
    train(images, tmp_path / 'run', 2)
    shutil.copytree(tmp_path / 'run', tmp_path / 'copy')
    if original == 'stays':
        train(images, tmp_path / 'run', 3, resume=True)
    else:
        shutil.rmtree(tmp_path / 'run')
    before = content(tmp_path / 'run')
    runner = train(images, tmp_path / 'copy', resume=True)
    assert_same(trained_state(runner), whole)
    assert runner._load_from == str(tmp_path / 'copy/epoch_2.pth')
    assert content(tmp_path / 'run') == before
    shutil.copytree(tmp_path / 'copy', tmp_path / 'again')
    train(images, tmp_path / 'again', resume=True)  # nothing is left to train
    assert find_latest_checkpoint(str(tmp_path / 'again')) == str(tmp_path / 'again/epoch_4.pth')


def test_a_latest_checkpoint_that_is_not_there(images, tmp_path):
    train(images, tmp_path / 'run', 1)
    shutil.copytree(tmp_path / 'run', tmp_path / 'copy')
    (tmp_path / 'copy/epoch_1.pth').rename(tmp_path / 'copy/good.pth')
    with pytest.raises(ValueError, match='last_checkpoint names epoch_1.pth, and .*copy has no such file; name the'):
        train(images, tmp_path / 'copy', resume=True)


def test_rows_that_are_not_there(images, tmp_path):
    train(images, tmp_path / 'run', 1)
    shutil.rmtree(tmp_path / 'run/epoch_1.rows')
    with pytest.raises(ValueError, match='the rows of .*epoch_1.pth are missing: the folder .*epoch_1.rows was expe'):
        train(images, tmp_path / 'run', resume=True)


HOOK = 'default_hooks.checkpoint'


@pytest.mark.parametrize('changes, message', [
    ({f'{HOOK}.type': 'CheckpointHook'}, "default_hooks.checkpoint.type must be 'InstanceCheckpointHook', got Checkp"),
    ({f'{HOOK}.save_optimizer': False}, 'save_optimizer of InstanceCheckpointHook must be True'),
    ({f'{HOOK}.save_param_scheduler': False}, 'save_param_scheduler of InstanceCheckpointHook must be True'),
    ({f'{HOOK}.out_dir': 's3://bucket'}, 'InstanceCheckpointHook writes to a file system, and takes no backend_args'),
    ({f'{HOOK}.filename_tmpl': 'epoch.pth'}, "filename_tmpl must be the name of a file with one {} .* got 'epoch.pth'"),
    ({f'{HOOK}.filename_tmpl': 'a/{}.pth'}, "filename_tmpl must be the name of a file with one {} .* got 'a/{}.pth'"),
    ({f'{HOOK}.priority': 'HIGHEST'}, 'InstanceCheckpointHook must run after InstanceRowsHook, .*ParamSchedulerHook'),
    ({'default_hooks.param_scheduler.priority': 'LOWEST'}, 'InstanceCheckpointHook must run after ParamSchedulerHook'),
    ({HOOK: None, 'resume': True}, 'resume needs InstanceCheckpointHook, which restores the rows'),
    ({'train_cfg': dict(type='IterBasedTrainLoop', max_iters=8, _delete_=True), 'param_scheduler': []},
     'by_epoch of InstanceCheckpointHook must be False where training goes by iterations'),
])
def test_what_would_not_be_saved_does_not_start(images, tmp_path, changes, message):
    cfg = tiny_config(images, tmp_path / 'run', **changes)
    with pytest.raises(ValueError, match=message):
        Runner.from_cfg(cfg).train()
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_two_hooks_that_save(images, tmp_path):
    cfg = tiny_config(images, tmp_path / 'run')
    cfg.custom_hooks.append(dict(type='InstanceCheckpointHook', interval=1))
    with pytest.raises(ValueError, match='one InstanceCheckpointHook was expected, got 2'):
        Runner.from_cfg(cfg).train()


def test_without_saving_where_the_user_says_so(images, tmp_path):
    Runner.from_cfg(tiny_config(images, tmp_path / 'run', **{HOOK: None, 'train_cfg.max_epochs': 1})).train()
    assert not list((tmp_path / 'run').glob('*.pth'))
    assert 'nothing of this training is saved' in next((tmp_path / 'run').glob('*/*.log')).read_text()


def without(checkpoint, part):
    *parents, name = part
    for key in parents:
        checkpoint = checkpoint[key]
    del checkpoint[name]


@pytest.mark.parametrize('part', [
    ('state_dict', ), ('state_dict', 'backbone.layers.1.weight'), ('optimizer', ), ('optimizer', 'step_log'),
    ('optimizer', 'state', 0), ('param_schedulers', ), ('param_schedulers', 1), ('message_hub', ), ('meta', 'iter'),
    ('meta', 'instance_rows', 'recent')
])
def test_a_part_that_is_missing_is_named(images, tmp_path, part):
    train(images, tmp_path / 'run', 1)
    path = tmp_path / 'run/epoch_1.pth'
    checkpoint = torch.load(path, weights_only=True)
    without(checkpoint, part)
    torch.save(checkpoint, path)
    name = 'param_schedulers' if part[0] == 'param_schedulers' else '.'.join(map(str, part))
    with pytest.raises(ValueError, match=f'epoch_1.pth cannot be resumed from, it lacks .*{name}'):
        train(images, tmp_path / 'run', resume=True)


class UnsafeHook(Hook):
    """Puts something that cannot be saved where it would be saved."""

    def __init__(self, value):
        self.value = value

    def before_train(self, runner):
        runner.message_hub.update_info('mine', {'inner': [1, self.value]})

    def after_train_iter(self, runner, **kwargs):
        raise AssertionError('too late')


@pytest.mark.parametrize('value', [threading.Lock(), Path('x'), lambda: 0, slice(3)])
def test_what_cannot_be_saved_is_found_before_the_first_iteration(images, tmp_path, value):
    cfg = tiny_config(images, tmp_path / 'run')
    runner = Runner.from_cfg(cfg)
    runner.register_hook(UnsafeHook(value))
    with pytest.raises(ValueError, match=r'message_hub.runtime_info.mine.inner\[1\] \(of .*\) cannot be saved'):
        runner.train()


def test_a_folder_that_cannot_be_written_is_found_before_the_first_iteration(images, tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/.instance_checkpoint').touch()
    with pytest.raises(ValueError, match='no checkpoint could be saved: .*.instance_checkpoint'):
        train(images, tmp_path / 'run')


@pytest.mark.parametrize('name', ['backbone.pth', 'epoch_1.pth'])
def test_load_from(images, tmp_path, name):
    train(images, tmp_path / 'first', 1)
    lr = {'optim_wrapper.optimizer.lr': 0.0, 'optim_wrapper.optimizer.weight_decay': 0.0}  # stays as it starts
    runner = train(images, tmp_path / 'second', 1, load_from=str(tmp_path / 'first' / name), **lr)
    backbone = torch.load(tmp_path / 'first/backbone.pth', weights_only=True)
    assert_same(dict(runner.model.backbone.state_dict()), backbone)


@pytest.mark.parametrize('spoil, message', [
    (lambda state: {f'elsewhere.{name}': tensor for name, tensor in state.items()}, '4 of its 4 tensors'),
    (lambda state: {name: tensor[..., :3] for name, tensor in state.items()}, '4 of its 4 tensors'),
    (lambda state: dict(list(state.items())[1:]), '1 of its 4 tensors would not be loaded .*missing'),
    (lambda state: {'state_dict': {}}, 'has no network in it'),
])
def test_load_from_what_does_not_fit(images, tmp_path, spoil, message):
    train(images, tmp_path / 'first', 1)
    path = tmp_path / 'first/backbone.pth'
    torch.save(spoil(torch.load(path, weights_only=True)), path)
    with pytest.raises(ValueError, match=message):
        train(images, tmp_path / 'second', 1, load_from=str(path))

