"""Experiments on training: what they count is what there was, and what they change is what they say."""
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from pic_plugin.evidence.experiments import _FORGOTTEN, MEASURED, ForgetRowsHook, Visits
from pic_plugin.functional.hashing import hash64
from pic_plugin.functional.initial_rows import initial_rows
from tests.tiny import rows_of, tiny_config, write_images

NUM_IMAGES = 24
NECK = dict(type='NonLinearNeck', in_channels=6, hid_channels=8, out_channels=6, num_layers=2, with_avg_pool=False,
            norm_cfg=dict(type='BN1d'))


@HOOKS.register_module(force=True)
class ActiveRowsHook(Hook):
    """The batch's rows as they were before each step."""

    priority = 'LOW'

    def before_train(self, runner):
        self.seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        ids = torch.tensor([sample.sample_idx for sample in data_batch['data_samples']])
        head = runner.model.head
        slots = head.allocated.rows.slots(ids)
        self.seen.append((ids, head.weight.data[slots].clone(), head.allocated.rows.optimizer.row_momentum[slots]))


def trained(tmp_path, name, *hooks, **changes):
    images = tmp_path / 'images'
    if not images.exists():
        write_images(images, NUM_IMAGES)
    cfg = tiny_config(images, tmp_path / name, **{'model.neck': NECK, **changes})
    cfg.custom_hooks += [*hooks, dict(type='ActiveRowsHook')]
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def seen_by(runner):
    return next(hook for hook in runner.hooks if isinstance(hook, ActiveRowsHook)).seen


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), max_size=8))
@settings(max_examples=30, deadline=None)
def test_distance_is_since_the_last_batch_with_it(batches):
    visits, last, position = Visits(10), {}, 0
    for batch in batches:
        expected = [position + i - last[id] if id in last else 0 for i, id in enumerate(batch)]
        assert visits.distance(torch.tensor(batch), position).tolist() == expected
        for i, id in enumerate(batch):
            last[id] = position + i
        position += len(batch)


def test_rows_that_were_away_start_anew(tmp_path):
    distance = 12
    runner = trained(tmp_path, 'forget', dict(type='ForgetRowsHook', max_distance=distance))
    last, num_forgotten, num_kept = {}, 0, 0
    for i, (ids, weight, momentum) in enumerate(seen_by(runner)):
        for j, (id, row, speed) in enumerate(zip(ids.tolist(), weight, momentum)):
            position = 4 * i + j
            away = position - last.get(id, position)
            last[id] = position
            new = initial_rows(torch.tensor([id]), 6, 0.01, int(hash64(runner.seed, _FORGOTTEN, i)))[0]
            if away > distance:
                # as a row that was never visited: only decay has been at work, on new random values
                assert F.cosine_similarity(row, new, dim=0) > 1 - 1e-5
                assert F.cosine_similarity(speed, new, dim=0).abs() > 1 - 1e-5
                assert row.norm() <= new.norm()
                num_forgotten += 1
            elif away:
                assert F.cosine_similarity(row, new, dim=0) < 1 - 1e-5
                num_kept += 1
    assert num_forgotten == runner.message_hub.get_info(MEASURED)['forgotten rows'] > 5 < num_kept


def test_nothing_is_forgotten_within_the_distance(tmp_path):
    rows = [rows_of(trained(tmp_path, name, *hooks)) for name, hooks in (
        ('without', []), ('with', [dict(type='ForgetRowsHook', max_distance=10**6)]))]
    assert all(torch.equal(a, b) for a, b in zip(*rows))


def test_forgetting_needs_rows_in_the_table(tmp_path):
    for changes in ({'model.head.num_negatives': None}, {'model.head.num_negatives': 13}):
        with pytest.raises(ValueError, match='num_negatives must be at most max_distance=12'):
            trained(tmp_path, 'run', dict(type='ForgetRowsHook', max_distance=12), **changes)
    with pytest.raises(ValueError, match='max_distance must be positive'):
        ForgetRowsHook(0)


@pytest.mark.parametrize('changes', [
    {'model.head.num_negatives': None},
    {},
    {'model.head.cosine': False, 'model.head.temperature': 1.0, 'optim_wrapper.optimizer.lr': 0.01},
], ids=['all classes', 'recent', 'plain'])
def test_losses_by_distance_are_the_trainings(tmp_path, changes):
    once = {'train_dataloader.sampler': dict(window_size=None, window_stride=None), **changes}
    runner = trained(tmp_path, 'with', dict(type='LossByDistanceHook'), **once)
    measured = runner.message_hub.get_info(MEASURED)
    losses = runner.message_hub.get_scalar('train/loss').data[0]
    second_half = losses[len(losses) // 2:].mean()
    for name in ('loss by distance', 'loss by place'):
        counts = [count for _, _, count in measured[name]]
        assert sum(counts) == len(losses) // 2 * 4 == 2 * NUM_IMAGES
        assert sum(loss * count for _, loss, count in measured[name]) / sum(counts) == pytest.approx(second_half, 1e-5)
    assert [place for place, *_ in measured['loss by place']] == [0, 0.125, 0.3125, 0.5, 0.625, 0.8125]
    assert len(measured['loss by distance']) > 3
    assert torch.equal(rows_of(runner)[0], rows_of(trained(tmp_path, 'without', **once))[0])
