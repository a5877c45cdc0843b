"""mmengine's EMAHook, and mmpretrain's: the network is averaged, the rows are not, and a resumed run is the same."""
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from pic_plugin.checkpoints.read import load_tensors_only
from tests.ranks import run_ranks
from tests.tiny import assert_same, network_of, tiny_config, trained_state, write_images

MOMENTUM = 0.1
# it has buffers, and mmengine goes by the order of parameters and buffers
NECK = {'model.neck': dict(type='NonLinearNeck', in_channels=6, hid_channels=6, out_channels=6, with_avg_pool=False)}


class Average(Hook):
    """The naive average, in float64, of parameters and buffers."""
    priority = 'LOW'

    def __init__(self):
        self.average = None

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        now = {name: tensor.double() for name, tensor in network_of(runner).items()}
        if self.average is None:
            self.average = now
        for name, tensor in now.items():
            self.average[name] = (1 - MOMENTUM) * self.average[name] + MOMENTUM * tensor


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / 'images', 23)


def train(images, work_dir, hook=None, max_epochs=3, **changes):
    cfg = tiny_config(images, work_dir, **{'train_cfg.max_epochs': max_epochs, **NECK, **changes})
    if hook is not None:
        cfg.custom_hooks.append(dict(hook, momentum=MOMENTUM))
    runner = Runner.from_cfg(cfg)
    runner.naive = Average()
    runner.register_hook(runner.naive)
    runner.train()
    return runner


@pytest.mark.parametrize('hook', [
    dict(type='mmengine.EMAHook'), dict(type='mmengine.EMAHook', update_buffers=True), dict(type='EMAHook'),
    dict(type='EMAHook', evaluate_on_origin=True, begin_epoch=1)])
def test_the_network_is_averaged_and_the_rows_are_not(images, tmp_path, hook):
    plain = trained_state(train(images, tmp_path / 'plain'))
    runner = train(images, tmp_path / 'run', hook)
    assert_same(trained_state(runner), plain)
    checkpoint = load_tensors_only(tmp_path / 'run/epoch_3.pth')
    names = {name for name, _ in runner.model.named_parameters()} - {'head.weight'}
    if hook.get('update_buffers'):
        names |= {name for name, _ in runner.model.named_buffers() if 'running' in name}
    for name in names:
        torch.testing.assert_close(checkpoint['state_dict'][name].double(), runner.naive.average[name],
                                   rtol=1e-5, atol=1e-6)
    for name, tensor in network_of(runner).items():
        if f'module.{name}' in checkpoint['ema_state_dict']:
            assert torch.equal(checkpoint['ema_state_dict'][f'module.{name}'], tensor)
    assert 'module.head.weight' not in checkpoint['ema_state_dict']
    assert_same(torch.load(tmp_path / 'run/backbone.pth', weights_only=True), {
        name.removeprefix('backbone.'): tensor for name, tensor in checkpoint['state_dict'].items()
        if name.startswith('backbone.')})


@pytest.mark.parametrize('hook', [dict(type='mmengine.EMAHook', update_buffers=True), dict(type='EMAHook')])
def test_a_resumed_run_is_the_same(images, tmp_path, hook):
    whole = train(images, tmp_path / 'whole', hook)
    train(images, tmp_path / 'part', hook, max_epochs=1)
    resumed = train(images, tmp_path / 'run', hook, resume=True, load_from=str(tmp_path / 'part/epoch_1.pth'))
    assert_same(trained_state(resumed), trained_state(whole))
    a, b = (load_tensors_only(tmp_path / run / 'epoch_3.pth') for run in ('whole', 'run'))
    for part in ('state_dict', 'ema_state_dict'):
        assert_same(dict(a[part]), dict(b[part]))


def test_averages_are_not_resumed_from_without_the_hook_nor_the_other_way_round(images, tmp_path):
    hook = dict(type='EMAHook')
    train(images, tmp_path / 'a', hook, max_epochs=1)
    with pytest.raises(ValueError, match='was written with EMAHook, .* add EMAHook to custom_hooks to resume from it'):
        train(images, tmp_path / 'a', resume=True)
    train(images, tmp_path / 'b', max_epochs=1)
    with pytest.raises(ValueError, match='cannot be resumed from, it lacks ema_state_dict'):
        train(images, tmp_path / 'b', hook, resume=True)


def test_averages_need_the_hook_that_saves(images, tmp_path):
    with pytest.raises(ValueError, match='EMAHook needs InstanceCheckpointHook, which keeps the rows out'):
        train(images, tmp_path / 'run', dict(type='EMAHook'), **{'default_hooks.checkpoint': None})


def on_ranks(rank, world_size, images, folder, hook):
    """Of a run, and of one that is resumed, all there is on this rank; and the naive averages of the first."""
    changes = {'launcher': 'pytorch', 'train_dataloader.batch_size': 2, 'model.neck.norm_cfg': dict(type='BN1d'),
               'model_wrapper_cfg': dict(type='MMDistributedDataParallel', device_ids=None)}
    whole = train(images, folder / 'two', hook, **changes)
    resumed = train(images, folder / 'resumed', hook, resume=True, load_from=str(folder / 'two/epoch_1.pth'), **changes)
    averages = [next(hook for hook in runner.hooks if hasattr(hook, 'ema_model')).ema_model.module.state_dict()
                for runner in (whole, resumed)]
    return trained_state(whole), trained_state(resumed), *averages, whole.naive.average


@pytest.mark.parametrize('hook', [dict(type='mmengine.EMAHook', update_buffers=True), dict(type='EMAHook')])
def test_ranks_have_the_same_averages(images, tmp_path, hook):
    both = run_ranks(on_ranks, 2, images, tmp_path, hook)
    for rank, (whole, resumed, averages, resumed_averages, naive) in enumerate(both):
        assert_same(resumed, whole)
        # running statistics are each rank's own, and rank 0's are saved, as without averages
        same = {name for name in averages if rank == 0 or 'running' not in name}
        for name in same:
            assert torch.equal(averages[name], resumed_averages[name])
            assert rank == 0 or torch.equal(averages[name], both[0][2][name])
        for name in same & {name for name, tensor in naive.items() if 'num_batches' not in name}:
            if hook.get('update_buffers') or 'running' not in name:
                torch.testing.assert_close(averages[name].double(), naive[name], rtol=1e-5, atol=1e-6)
