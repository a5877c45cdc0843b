"""Rows that start as the features of the untrained network."""
import logging

import cv2
import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from pic_plugin.datasets import SlidingWindowSampler
from pic_plugin.engine.hooks.contrastive_prior_hook import _PRIOR, ContrastivePriorHook
from pic_plugin.functional.hashing import hash64
from pic_plugin.functional.initial_rows import initial_rows
from tests.ranks import run_ranks
from tests.tiny import assert_same, network_of, rows_of, tiny_config, write_images

NUM_IMAGES = 23


@HOOKS.register_module(force=True)
class AtStartHook(Hook):
    """What there was before the first iteration."""

    priority = 'LOW'

    def before_train(self, runner):
        self.rows = rows_of(runner)
        self.network = network_of(runner)
        self.training = [module.training for module in runner.model.modules()]


def with_prior(images, work_dir, running_bn=True, **changes):
    cfg = tiny_config(images, work_dir, **{
        'model.neck': dict(type='NonLinearNeck', in_channels=6, hid_channels=8, out_channels=6, num_layers=2,
                           with_avg_pool=False, norm_cfg=dict(type='BN1d')),
        'train_cfg.max_epochs': 2, **changes})
    cfg.custom_hooks += [dict(type='ContrastivePriorHook', running_bn=running_bn), dict(type='AtStartHook')]
    return cfg


def start_of(runner):
    return next(hook for hook in runner.hooks if isinstance(hook, AtStartHook))


def trained(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def expected_rows(runner, network, running_bn):
    """Batch by batch, in the order of the pass."""
    model = Runner.from_cfg(runner.cfg).model
    model.load_state_dict(network)
    model.eval()
    model.neck.bn0.train(running_bn)
    if hasattr(model.neck, 'bn1'):
        model.neck.bn1.train(running_bn)
    dataset = runner.train_dataloader.dataset
    sampler = SlidingWindowSampler(dataset, None, None, seed=int(hash64(runner.seed, _PRIOR)), batch_size=4)
    rows, indices = {}, list(sampler)
    with torch.no_grad():
        for start in range(0, len(indices), 4):
            batch = indices[start:start + 4]
            data = model.data_preprocessor(default_collate([dataset[i] for i in batch]), True)
            views = data['inputs']
            features = model.neck(model.backbone(views[0] if isinstance(views, list) else views))[0]
            for i, feature in zip(batch, features):
                rows.setdefault(int(i), feature)  # where the last batch is filled up, the first time counts
    return torch.stack([rows[i] for i in range(len(dataset))]).cpu()


@pytest.mark.parametrize('running_bn', [True, False])
@pytest.mark.parametrize('changes', [{'model.head.num_negatives': None}, {}, {'model.head.table': 'disk'}],
                         ids=['all classes', 'recent', 'on disk'])
def test_each_row_is_its_images_feature(tmp_path, changes, running_bn):
    runner = trained(with_prior(write_images(tmp_path / 'images', NUM_IMAGES), tmp_path / 'run', running_bn, **changes))
    start = start_of(runner)
    expected = expected_rows(runner, start.network, running_bn)
    torch.testing.assert_close(start.rows[0], expected, rtol=1e-5, atol=1e-6)
    assert start.rows[1].eq(0).all()
    assert all(start.training)
    spread = torch.nn.functional.normalize(expected, dim=1).mean(0).norm()
    assert spread < 0.5 if running_bn else spread > 0.5  # running BatchNorm takes off what all features have in common


@pytest.mark.parametrize('changes', [{'model.head.num_negatives': None}, {}], ids=['all classes', 'recent'])
def test_rows_of_a_given_length(tmp_path, changes):
    cfg = with_prior(write_images(tmp_path / 'images', NUM_IMAGES), tmp_path / 'run', **changes)
    cfg.custom_hooks[-2].row_norm = 0.08
    runner = trained(cfg)
    start = start_of(runner)
    expected = 0.08 * torch.nn.functional.normalize(expected_rows(runner, start.network, True), dim=1)
    torch.testing.assert_close(start.rows[0], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('row_norm', [0, -1.0, 'long', True])
def test_a_length_that_is_none(row_norm):
    with pytest.raises(ValueError, match='row_norm must be'):
        ContrastivePriorHook(row_norm=row_norm)


def test_the_network_is_as_it_was(tmp_path):
    images = write_images(tmp_path / 'images', NUM_IMAGES)
    cfg = with_prior(images, tmp_path / 'without')
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook['type'] != 'ContrastivePriorHook']
    assert_same(start_of(trained(with_prior(images, tmp_path / 'with'))).network, start_of(trained(cfg)).network)


def test_two_views_give_the_first(tmp_path):
    cfg = with_prior(write_images(tmp_path / 'images', NUM_IMAGES), tmp_path / 'run')
    load, crop, pack = cfg.train_dataloader.dataset.pipeline
    cfg.train_dataloader.dataset.pipeline = [load, dict(type='MultiView', num_views=[2], transforms=[[crop]]), pack]
    runner = trained(cfg)
    start = start_of(runner)
    torch.testing.assert_close(start.rows[0], expected_rows(runner, start.network, True), rtol=1e-5, atol=1e-6)


def test_no_pass_on_resume(tmp_path, caplog):
    images = write_images(tmp_path / 'images', NUM_IMAGES)
    whole = trained(with_prior(images, tmp_path / 'whole', **{'train_cfg.max_epochs': 3}))
    trained(with_prior(images, tmp_path / 'half', **{'train_cfg.max_epochs': 2, 'param_scheduler.1.end': 4}))
    again = with_prior(images, tmp_path / 'half', **{'train_cfg.max_epochs': 3, 'log_level': 'INFO'})
    again.resume = True
    runner = Runner.from_cfg(again)
    with caplog.at_level(logging.INFO, logger='mmengine'):
        runner.logger.addHandler(caplog.handler)
        runner.train()
    assert 'Contrastive prior' not in caplog.text
    for a, b in zip(rows_of(whole), rows_of(runner)):
        assert torch.equal(a, b)
    assert_same(network_of(whole), network_of(runner))


def test_progress_is_told(tmp_path, caplog):
    cfg = with_prior(write_images(tmp_path / 'images', NUM_IMAGES), tmp_path / 'run', **{'log_level': 'INFO'})
    runner = Runner.from_cfg(cfg)
    with caplog.at_level(logging.INFO, logger='mmengine'), pytest.MonkeyPatch.context() as patch:
        patch.setattr('pic_plugin.progress._REPORT_EVERY', -1.0)
        runner.logger.addHandler(caplog.handler)
        runner.train()
    assert "Contrastive prior: features of the untrained network, of 23 images" in caplog.text
    assert 'batches of the contrastive prior: 3/6, eta' in caplog.text


def test_an_image_that_cannot_be_read_keeps_its_random_row(tmp_path):
    images = write_images(tmp_path / 'images', NUM_IMAGES)
    (images / 'a/000.png').write_bytes(b'')
    cfg = with_prior(images, tmp_path / 'run', **{'custom_hooks.0.max_unreadable_share': 0.5})
    runner = trained(cfg)
    rows = start_of(runner).rows[0]
    random = initial_rows(torch.arange(NUM_IMAGES), 6, 0.01, runner.seed)
    assert torch.equal(rows[0], random[0]) and (rows[1:] != random[1:]).all()


def test_nothing_to_run(tmp_path):
    cfg = with_prior(write_images(tmp_path / 'images', NUM_IMAGES), tmp_path / 'run')
    cfg.model.pop('neck')
    with pytest.raises(ValueError, match='needs BatchNorm in model.backbone or model.neck, and there is none'):
        trained(cfg)


def on_a_rank(rank, world_size, folder, diff_rank_seed=False):
    cfg = with_prior(folder / 'images', folder / f'run{world_size}', running_bn=False,
                     **{'model.head.num_negatives': None, 'randomness.diff_rank_seed': diff_rank_seed})
    if world_size > 1:
        cfg.launcher = 'pytorch'
        cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    return start_of(trained(cfg)).rows[0]


@pytest.mark.parametrize('diff_rank_seed', [False, True])
def test_ranks_share_the_pass(tmp_path, diff_rank_seed):
    write_images(tmp_path / 'images', NUM_IMAGES)
    expected = on_a_rank(0, 1, tmp_path)
    for rows in run_ranks(on_a_rank, 3, tmp_path, diff_rank_seed):
        torch.testing.assert_close(rows, expected, rtol=1e-5, atol=1e-6)


def test_images_are_not_all_grey(tmp_path):
    """The fixture's images differ, or the tests above would compare equal features."""
    images = write_images(tmp_path / 'images', 2)
    assert (cv2.imread(str(images / 'a/000.png')) != cv2.imread(str(images / 'b/001.png'))).any()
