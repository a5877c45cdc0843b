"""A checkpoint may fall anywhere, also within an optimizer step: it changes nothing, and is resumed from to the bit."""
import pytest
import torch
from mmengine.runner import Runner

from pic_plugin.rows import RecentRows
from tests.amp import scaler_on_the_cpu
from tests.ranks import run_ranks
from tests.tiny import assert_same, tiny_config, trained_state, write_images

CHECKPOINT, COUNTS = 'default_hooks.checkpoint', 'optim_wrapper.accumulative_counts'
CLIPPED = {'optim_wrapper.clip_grad': dict(max_norm=0.05)}
ALL = {'model.head.num_negatives': None}
SMOOTHED = {'model.head.label_smoothing': 0.2, 'model.head.num_hard_classes': 3}
AMP = {'optim_wrapper.type': 'AmpWeightCorrectingOptimWrapper', 'optim_wrapper.dtype': 'bfloat16',
       'optim_wrapper.loss_scale': dict(init_scale=1.9 * 2.0**127, growth_interval=2)}  # the first steps overflow


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / 'images', 47)  # 12 iterations an epoch


def train(images, work_dir, load_from=None, **changes):
    """By iterations, unless ``changes`` say something else; rows, momenta, network and how many steps."""
    runner = Runner.from_cfg(tiny_config(images, work_dir, **{
        'train_cfg': dict(type='IterBasedTrainLoop', max_iters=11, _delete_=True), 'param_scheduler': [],
        f'{CHECKPOINT}.by_epoch': False, f'{CHECKPOINT}.interval': 100, f'{CHECKPOINT}.max_keep_ckpts': -1,
        'model.backbone.dropout': 0.2, 'resume': load_from is not None, 'load_from': load_from and str(load_from),
        **changes}))
    runner.train()
    return dict(trained_state(runner), steps=torch.tensor(len(runner.optim_wrapper.step_log)))


@pytest.mark.parametrize('changes', [
    {'model.head.weight_correction': False}, {COUNTS: 3, **CLIPPED},
    {COUNTS: 2, 'model.head.table': 'disk', **SMOOTHED}, {COUNTS: 4, **ALL, **CLIPPED}, {COUNTS: 2, **AMP},
], ids=['every step', 'recent, clipped', 'disk, smoothed', 'all classes', 'scaled'])
def test_after_any_iteration(images, tmp_path, changes):
    often = {**changes, f'{CHECKPOINT}.save_begin': 1, f'{CHECKPOINT}.interval': 2}
    with scaler_on_the_cpu():
        never = train(images, tmp_path / 'never', **changes)
        assert_same(train(images, tmp_path / 'often', **often), never)
        assert_same(train(images, tmp_path / 'resumed', tmp_path / 'often/iter_5.pth', **often), never)
    assert (tmp_path / 'often/iter_5.rows/waiting').exists() == (COUNTS in changes)
    backbones = [tmp_path / run / 'backbone.pth' for run in ('never', 'often')]
    assert backbones[0].read_bytes() == backbones[1].read_bytes()
    if changes.get('optim_wrapper.type') == AMP['optim_wrapper.type']:
        assert never['steps'] < 6  # of eleven iterations


def by_epochs(**changes):
    return {'train_cfg': dict(type='EpochBasedTrainLoop', max_epochs=3, _delete_=True), f'{CHECKPOINT}.by_epoch': True,
            **changes}


def test_after_any_epoch(images, tmp_path):
    """As ``save_begin`` has it, and at the end, within the last step."""
    changes = by_epochs(**{COUNTS: 5, **ALL, **SMOOTHED})
    never = train(images, tmp_path / 'never', **changes)
    often = {**changes, f'{CHECKPOINT}.save_begin': 1, f'{CHECKPOINT}.interval': 2}
    assert_same(train(images, tmp_path / 'often', **often), never)
    assert_same(train(images, tmp_path / 'resumed', tmp_path / 'often/epoch_1.pth', **often), never)
    # after its last iteration nothing waits: a run that is made longer starts a step
    longer = by_epochs(**{COUNTS: 5, **ALL, **SMOOTHED, 'train_cfg.max_epochs': 4})
    assert train(images, tmp_path / 'longer', tmp_path / 'often/epoch_3.pth', **longer)['steps'] == never['steps'] + 3


def test_other_batches_of_the_same_steps(images, tmp_path):
    """All classes: how a step is cut into iterations does not matter."""
    changes = {COUNTS: 5, **ALL, **CLIPPED, 'model.backbone.dropout': 0.0}
    whole = train(images, tmp_path / 'whole', **by_epochs(**changes, **{f'{CHECKPOINT}.interval': 1}))
    first = tmp_path / 'whole/epoch_1.pth'  # after two of five iterations
    for batch_size, counts in ((8, 5), (2, 5), (5, 4), (16, 2)):
        with pytest.raises(ValueError, match=r'within an optimizer step, after 8 of its 20 images, which iterations of '
                           f'{batch_size} images and steps of {batch_size * counts} cannot go on with: resume with'):
            train(images, tmp_path / 'wrong', first, **by_epochs(**{
                **changes, COUNTS: counts, 'train_dataloader.batch_size': batch_size}))
    again = train(images, tmp_path / 'again', first, **by_epochs(**{
        **changes, COUNTS: 10, 'train_dataloader.batch_size': 2}))
    torch.testing.assert_close(again, whole, rtol=1e-5, atol=1e-6)


def on_two_ranks(rank, world_size, images, folder, changes):
    """A run without a checkpoint, one with, one resumed from it, and one from one rank's; half of a batch on each."""
    changes = {'launcher': 'pytorch', 'model_wrapper_cfg': dict(type='MMDistributedDataParallel', device_ids=None),
               'train_dataloader.batch_size': 2, **changes}
    return [train(images, folder / 'never', **changes),
            train(images, folder / 'often', **changes, **{f'{CHECKPOINT}.interval': 5}),
            train(images, folder / 'resumed', folder / 'often/iter_5.pth', **changes),
            train(images, folder / 'dealt', folder / 'one/iter_5.pth', **changes)]


def test_ranks(images, tmp_path):
    changes = {COUNTS: 3, **CLIPPED, 'model.backbone.dropout': 0}  # what drops out is another on each rank
    one = train(images, tmp_path / 'one', **changes, **{f'{CHECKPOINT}.interval': 5})
    for never, often, resumed, dealt in run_ranks(on_two_ranks, 2, images, tmp_path, changes):
        assert_same(often, never)
        assert_same(resumed, never)
        torch.testing.assert_close(dealt, one, rtol=1e-5, atol=1e-6)
    gathered = train(images, tmp_path / 'gathered', tmp_path / 'often/iter_5.pth', **changes)
    torch.testing.assert_close(gathered, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('within', [True, False])
def test_what_a_checkpoint_lacks(images, tmp_path, within):
    train(images, tmp_path / 'run', **{COUNTS: 3, f'{CHECKPOINT}.interval': 4})
    sums = tmp_path / 'run/iter_4.rows/SHA256SUMS'
    lines = [line for line in sums.read_text().splitlines(True) if 'waiting/' not in line or within]
    sums.write_text(''.join(lines))
    if within:
        next((sums.parent / 'waiting/network/00000').glob('*.distcp')).unlink()
    message = 'waiting/network/00000/__0_0.distcp is missing' if within else \
        'damaged: it fell within an optimizer step, and has no waiting/rows'
    with pytest.raises(ValueError, match=message):
        train(images, tmp_path / 'run', tmp_path / 'run/iter_4.pth', **{COUNTS: 3})


def test_slots_are_not_laid_out_anew(images, tmp_path, monkeypatch):
    """The tests above would see it."""
    settle = RecentRows.settle

    def settle_and_sort(self):
        shared = settle(self)
        self._lay_out(self._in_order(self.ids[self.ids >= 0].flip(0)))
        return shared

    changes = {f'{CHECKPOINT}.interval': 1}
    never = train(images, tmp_path / 'never')
    monkeypatch.setattr(RecentRows, 'settle', settle_and_sort)
    with pytest.raises(AssertionError):
        assert_same(train(images, tmp_path / 'often', **changes), never)
