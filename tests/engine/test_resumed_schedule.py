"""A resumed run with other batches, ranks, epochs or rates has the rates of one that was never interrupted."""
import logging

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from pic_plugin.functional.windows import stream_samples
from tests.ranks import run_ranks
from tests.tiny import network_of, tiny_config, write_images

NUM_IMAGES = 21
WARM_UP_AND_COSINE = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=1, end=4, convert_to_iter_based=True),
]
STEPS = [dict(type='MultiStepLR', by_epoch=True, milestones=[1, 3], gamma=0.1)]
MIXED = [dict(type='ExponentialLR', gamma=0.7, by_epoch=True, begin=1, end=4),
         dict(type='CosineAnnealingLR', by_epoch=True, eta_min=0.01, convert_to_iter_based=True),
         dict(type='LinearMomentum', start_factor=0.5, by_epoch=True, begin=0, end=4, convert_to_iter_based=True)]


@HOOKS.register_module(force=True)
class RatesHook(Hook):
    """What each iteration was made with."""

    def __init__(self):
        self.iters, self.rates, self.images = [], [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        group = runner.optim_wrapper.param_groups[0]
        self.iters.append(runner.iter)
        self.rates.append((group['lr'], group['momentum']))
        self.images.append([sample.sample_idx for sample in data_batch['data_samples']])


def config(folder, name, schedule=WARM_UP_AND_COSINE, **changes):
    cfg = tiny_config(folder / 'images', folder / name, **changes)
    cfg.param_scheduler = [dict(scheduler) for scheduler in schedule]
    cfg.custom_hooks.append(dict(type='RatesHook'))
    return cfg


def trained(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner, next(hook for hook in runner.hooks if isinstance(hook, RatesHook))


def resumed(cfg, checkpoint):
    cfg.resume, cfg.load_from = True, str(checkpoint)
    return trained(cfg)


@pytest.fixture
def folder(tmp_path):
    write_images(tmp_path / 'images', NUM_IMAGES)
    return tmp_path


@pytest.mark.parametrize('schedule', [WARM_UP_AND_COSINE, STEPS, MIXED, []], ids=['cosine', 'steps', 'mixed', 'none'])
@pytest.mark.parametrize('changes', [
    {'train_dataloader.batch_size': 8}, {'train_dataloader.batch_size': 3}, {'train_cfg.max_epochs': 6},
    {'optim_wrapper.optimizer.lr': 0.02}], ids=['large batch', 'small batch', 'more epochs', 'lower rate'])
def test_rates_are_those_of_the_unbroken_run(folder, schedule, changes):
    if not schedule and 'optim_wrapper.optimizer.lr' in changes:
        pytest.skip('what does not follow a schedule stays as it was saved')
    if 'train_cfg.max_epochs' in changes:
        schedule = [{**scheduler, 'end': 6} if scheduler.get('end') == 4 else scheduler for scheduler in schedule]
    trained(config(folder, 'first', schedule, **{'train_cfg.max_epochs': 2}))
    _, again = resumed(config(folder, 'again', schedule, **changes), folder / 'first/epoch_2.pth')
    _, whole = trained(config(folder, 'whole', schedule, **changes))
    assert again.iters == whole.iters[-len(again.iters):]
    assert again.rates == whole.rates[-len(again.rates):]  # to the bit


def log_of_resuming(caplog, cfg, checkpoint):
    cfg.resume, cfg.load_from, cfg.log_level = True, str(checkpoint), 'INFO'
    runner = Runner.from_cfg(cfg)
    with caplog.at_level(logging.INFO, logger='mmengine'):
        runner.logger.addHandler(caplog.handler)
        runner.train()
    return caplog.text


def test_what_has_not_changed_is_as_it_was_saved(folder, caplog):
    trained(config(folder, 'first', **{'train_cfg.max_epochs': 2}))
    log = log_of_resuming(caplog, config(folder, 'again', **{'train_cfg.max_epochs': 4}), folder / 'first/epoch_2.pth')
    assert 'resumed epoch: 2, iter: 12' in log and 'schedule' not in log


def test_a_change_is_told(folder, caplog):
    trained(config(folder, 'first', **{'train_cfg.max_epochs': 2}))
    log = log_of_resuming(caplog, config(folder, 'again', **{'train_dataloader.batch_size': 8,
                                                             'train_cfg.max_epochs': 5}), folder / 'first/epoch_2.pth')
    assert ("The schedule is now the config's, as it is after 2 epochs: iteration 12, of 6 an epoch, becomes 6, of 3; "
            'the rate, 0.15') in log
    assert 'training goes on to epoch 5, and the schedule ends at 4: the rate stays as it is there' in log


def test_the_stream_goes_on_and_batches_are_whole(folder):
    _, first = trained(config(folder, 'first', **{'train_cfg.max_epochs': 2}))
    _, second = resumed(config(folder, 'second', **{'train_cfg.max_epochs': 3, 'train_dataloader.batch_size': 5}),
                        folder / 'first/epoch_2.pth')
    _, third = resumed(config(folder, 'third', **{'train_dataloader.batch_size': 8}), folder / 'second/epoch_3.pth')
    assert [len(batch) for batch in first.images] == [4] * 12  # 21 = 5 * 4 + 1
    assert [len(batch) for batch in second.images] == [5] * 5
    assert [len(batch) for batch in third.images] == [8] * 3
    images = [image for run in (first, second, third) for batch in run.images for image in batch]
    assert images == stream_samples(torch.arange(len(images)), NUM_IMAGES, 10, 5, 0).tolist()


def on_a_rank(rank, world_size, folder, diff_rank_seed):
    cfg = config(folder, f'ranks{world_size}', **{'randomness.diff_rank_seed': diff_rank_seed})
    if world_size > 1:
        cfg.launcher = 'pytorch'
        cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    runner, hook = resumed(cfg, folder / 'first/epoch_2.pth')
    return hook.iters, hook.rates, hook.images, network_of(runner)


@pytest.mark.parametrize('diff_rank_seed', [False, True])
def test_more_ranks_are_a_larger_batch(folder, diff_rank_seed):
    trained(config(folder, 'first', **{'train_cfg.max_epochs': 2}))
    _, alone = resumed(config(folder, 'alone', **{'train_dataloader.batch_size': 8}), folder / 'first/epoch_2.pth')
    both = run_ranks(on_a_rank, 2, folder, diff_rank_seed)
    for iters, rates, _, network in both:
        assert (iters, rates) == (alone.iters, alone.rates)
        assert all(torch.equal(network[name], both[0][3][name]) for name in network)
    for batch, *parts in zip(alone.images, both[0][2], both[1][2]):
        assert batch == [image for pair in zip(*parts) for image in pair]


@pytest.mark.parametrize('schedule, changes, message', [
    ([dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=24)], {'train_dataloader.batch_size': 8},
     'CosineAnnealingLR goes by iterations, which cannot be resumed with other batches, got a change from 4 images an '
     'iteration, 6 iterations an epoch, to 8 and 3: resume with the batch size and number of ranks .* or give it in '
     'epochs'),
    ([dict(type='ReduceOnPlateauLR', monitor='loss', by_epoch=True, end=4)], {'train_dataloader.batch_size': 8},
     'depends on what was measured, such as ReduceOnPlateau, cannot be resumed with other settings'),
], ids=['iterations', 'plateau'])
def test_what_cannot_be_converted(folder, schedule, changes, message):
    trained(config(folder, 'first', schedule, **{'train_cfg.max_epochs': 2}))
    with pytest.raises(ValueError, match=message):
        resumed(config(folder, 'again', schedule, **changes), folder / 'first/epoch_2.pth')
    resumed(config(folder, 'same', schedule), folder / 'first/epoch_2.pth')


def test_iterations_of_other_images(folder):
    def by_iterations(name, **changes):
        return config(folder, name, [], **{
            'train_cfg': dict(_delete_=True, type='IterBasedTrainLoop', max_iters=8),
            'default_hooks.checkpoint.by_epoch': False, 'default_hooks.checkpoint.interval': 4, **changes})

    trained(by_iterations('first'))
    with pytest.raises(ValueError, match='goes by iterations cannot be resumed with other batches, got a'):
        resumed(by_iterations('again', **{'train_dataloader.batch_size': 8}), folder / 'first/iter_4.pth')
    _, again = resumed(by_iterations('same'), folder / 'first/iter_4.pth')
    assert again.iters == [4, 5, 6, 7]


def test_a_checkpoint_of_an_older_version(folder):
    trained(config(folder, 'first', **{'train_cfg.max_epochs': 2}))
    path = folder / 'first/epoch_2.pth'
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint['meta']['instance_rows']['progress']
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match='does not say how many images an iteration had'):
        resumed(config(folder, 'again'), path)
