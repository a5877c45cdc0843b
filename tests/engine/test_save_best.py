"""The best network is the one that kNN says, also over a resume and with averages."""
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from pic_plugin.checkpoints.read import load_tensors_only
from tests.tiny import assert_same, rows_of, tiny_config, write_images

CHECKPOINT = 'default_hooks.checkpoint.'


class Watch(Hook):
    """Keeps what was measured after each epoch."""
    priority = 'VERY_LOW'

    def __init__(self):
        self.measured = {}

    def after_train_epoch(self, runner):
        knn = next(hook for hook in runner.hooks if type(hook).__name__ == 'KNNHook')
        if knn.measured:
            self.measured[runner.epoch + 1] = dict(knn.measured)


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / 'images', 23, seed=1)  # the first epoch is not the best


def train(images, work_dir, max_epochs=6, hooks=(), interval=1, **changes):
    cfg = tiny_config(images, work_dir, **{
        'train_cfg.max_epochs': max_epochs, CHECKPOINT + 'save_best': 'knn/top1_k3', **changes})
    labelled = dict(
        batch_size=8, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
        dataset=dict(type='CustomDataset', data_root=str(images), pipeline=[
            dict(type='LoadImageFromFile', color_type='grayscale'), dict(type='PackInputs')]))
    cfg.custom_hooks += [dict(type='KNNHook', num_neighbors=(3, 5), temperature=10, interval=interval,
                              bank_dataloader=labelled, query_dataloader=labelled), *hooks]
    runner = Runner.from_cfg(cfg)
    runner.watch = Watch()
    runner.register_hook(runner.watch)
    runner.train()
    return runner


def best(measured, name='knn/top1_k3'):
    return max(measured, key=lambda epoch: measured[epoch][name])  # the first one


@pytest.mark.parametrize('save_best, name', [('knn/top1_k3', 'knn/top1_k3'), ('auto', 'knn/top1_k3'),
                                             ('knn/top1_k5', 'knn/top1_k5')])
@pytest.mark.parametrize('hooks', [[], [dict(type='EMAHook', momentum=0.3)]])
def test_the_best_is_saved(images, tmp_path, save_best, name, hooks):
    runner = train(images, tmp_path / 'run', hooks=hooks, **{
        CHECKPOINT + 'save_best': save_best, CHECKPOINT + 'max_keep_ckpts': -1})
    epoch = best(runner.watch.measured, name)
    assert [path.name for path in (tmp_path / 'run').glob('best*')] == [
        f'best_{name.replace("/", "_")}_epoch_{epoch}.pth']
    saved = load_tensors_only(next((tmp_path / 'run').glob('best*')))
    whole = load_tensors_only(tmp_path / f'run/epoch_{epoch}.pth')
    assert_same(dict(saved['state_dict']), dict(whole['state_dict']))
    assert (saved['meta']['epoch'], saved['meta']['iter']) == (epoch, 6 * epoch)


@pytest.mark.parametrize('interval, counts', [(1, 4), (2, 1)])  # an epoch has 6 iterations
def test_a_resumed_run_goes_on_from_the_best_so_far(images, tmp_path, interval, counts):
    changes = {CHECKPOINT + 'interval': 2, 'interval': interval, 'optim_wrapper.accumulative_counts': counts}
    whole = train(images, tmp_path / 'whole', **changes)
    train(images, tmp_path / 'run', 2, **changes)
    resumed = train(images, tmp_path / 'run', resume=True, **changes)
    for a, b in zip(rows_of(resumed), rows_of(whole)):
        assert torch.equal(a, b)
    a, b = (sorted(path.name for path in (tmp_path / run).glob('*.pth')) for run in ('whole', 'run'))
    assert a == b
    assert not {'epoch_1.pth', 'epoch_3.pth', 'epoch_5.pth'} & set(a)  # the best needs no rows
    assert [name for name in a if name.startswith('best')] == [
        f'best_knn_top1_k3_epoch_{best(whole.watch.measured)}.pth']


def test_averages_are_measured(images, tmp_path):
    """They barely move from the first epoch's, and the network does."""
    averaged = train(images, tmp_path / 'a', hooks=[dict(type='EMAHook', momentum=1e-9)]).watch.measured
    assert len({value['knn/top1_k3'] for value in averaged.values()}) == 1
    assert len({value['knn/top1_k3'] for value in train(images, tmp_path / 'b').watch.measured.values()}) > 1


@pytest.mark.parametrize('name', ['accuracy/top1', 'knn/top1_k20'])
def test_what_nothing_measures(images, tmp_path, name):
    with pytest.raises(ValueError, match="save_best of InstanceCheckpointHook must be among knn/top1_k3, "
                                         f"knn/top1_k5, which is measured here, got '{name}'; measure it by KNNHook"):
        train(images, tmp_path / 'run', **{CHECKPOINT + 'save_best': name, CHECKPOINT + 'rule': 'greater'})
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_auto_needs_a_measure(images, tmp_path):
    with pytest.raises(ValueError, match="must be among nothing, which is measured here, got 'auto'"):
        Runner.from_cfg(tiny_config(images, tmp_path / 'run', **{CHECKPOINT + 'save_best': 'auto'})).train()
