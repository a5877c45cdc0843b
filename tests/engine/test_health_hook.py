"""What the health hook logs, compared with naive formulas on everything that the training saw."""
import json
import math
import os
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from pic_plugin.engine import HealthHook
from pic_plugin.engine.hooks import health_hook
from tests.evaluation.test_effective_rank import naive as naive_rank
from tests.ranks import run_ranks
from tests.tiny import TinyBackbone, assert_same, tiny_config, trained_state, write_images

NECK = {'model.neck': dict(type='LinearNeck', in_channels=6, out_channels=6, gap_dim=0, norm_cfg=None, act_cfg=None)}
TWO_EPOCHS = {'train_cfg.max_epochs': 2}


@HOOKS.register_module(force=True)
class SeenByHealthHook(Hook):
    """Keeps what goes into each loss: features of all views, ids, and the active rows."""

    def before_train(self, runner):
        self.seen = []
        head, loss = runner.model.head, runner.model.head.loss

        def recorded(features, ids, train_rows=True):
            if train_rows:
                rows = head.allocated.rows
                slots = torch.arange(head.allocated.num_instances)
                slots = rows.slots(slots)
                active = (slots >= 0).nonzero()[:, 0]
                if rows.active is not None:
                    assert rows.active[slots[active]].all()
                self.seen.append((features.detach().double(), ids.clone(), active,
                                  head.weight.detach()[slots[active]].double()))
            return loss(features, ids, train_rows)

        head.loss = recorded
        self.backbone = []
        runner.model.backbone.register_forward_hook(
            lambda module, args, out: self.backbone.append(out[-1].detach()) if module.training else None)


def scalars(work_dir, prefix='health/'):
    """What was logged, by step."""
    lines = [json.loads(line) for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
             for line in path.read_text().splitlines()]
    return {line['step']: {name.removeprefix(prefix): value for name, value in line.items() if name != 'step'}
            for line in lines if any(name.startswith(prefix) for name in line)}


def trained(images, work_dir, record=True, health=True, **changes):
    cfg = tiny_config(images, work_dir, **changes)
    if not health:
        del cfg.default_hooks['health']
    if record:
        cfg.custom_hooks.append(dict(type='SeenByHealthHook'))
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def naive(seen, temperature, edges, before):
    """Metrics of one epoch; ``before`` are the ids of the stream up to it."""
    stream, hits, losses, distances = before, [], {}, []
    bins = [('first_visit', 0), *((f'within_{edge}', edge) for edge in edges), (f'beyond_{edges[-1]}', math.inf)]
    for features, ids, active, rows in seen:
        z = torch.nn.functional.normalize(features, dim=2)
        logits = z @ torch.nn.functional.normalize(rows, dim=1).T / temperature
        for i, id_ in enumerate(ids.tolist()):
            if id_ >= 0:
                own = active.tolist().index(id_)
                hits.append(logits[0, i].argmax() == own)
                loss = (logits[:, i].logsumexp(1) - logits[:, i, own]).mean()
                distance = next((d for d in range(1, len(stream) + 1) if stream[-d] == id_), 0)
                distances.append(distance)
                losses.setdefault(next(name for name, edge in bins if distance <= edge), []).append(loss)
            stream.append(id_)
    metrics = {f'loss_{name}': torch.stack(values).mean().item() for name, values in losses.items()}
    return {**metrics, 'instance_top1': 100 * torch.stack(hits).double().mean().item(),
            'rank_projected': naive_rank(torch.cat([torch.nn.functional.normalize(x[0], dim=1) for x, *_ in seen]))}


@pytest.mark.parametrize('num_views', [1, 2])
@pytest.mark.parametrize('num_negatives', [8, None])
def test_metrics_are_the_naive_ones(tmp_path, num_negatives, num_views):
    images = write_images(tmp_path / 'images', 22)
    changes = {**NECK, 'model.head.num_negatives': num_negatives, 'train_cfg.max_epochs': 3}
    if num_views > 1:
        load, crop, pack = tiny_config(images, tmp_path).train_dataloader.dataset.pipeline
        views = dict(type='MultiView', num_views=[2], transforms=[[crop]])
        changes['train_dataloader.dataset.pipeline'] = [load, views, pack]
    runner = trained(images, tmp_path / 'run', **changes)
    hook = next(hook for hook in runner.hooks if isinstance(hook, SeenByHealthHook))
    logged, stream, visited = scalars(tmp_path / 'run'), [], 0
    assert list(logged) == [1, 2, 3]
    for epoch, metrics in logged.items():
        seen = hook.seen[6 * (epoch - 1):6 * epoch]
        expected = naive(seen, 0.3, [3, 5, 10, 20], stream)  # windows of 10
        visited = len(set(stream))
        backbone = hook.backbone[6 * num_views * (epoch - 1):6 * num_views * epoch:num_views]
        expected.update(rank_backbone=naive_rank(torch.cat(backbone)), images_visited=100 * visited / 22,
                        visits_per_image=24 * epoch / 22)
        assert metrics == pytest.approx(expected, rel=1e-3)
    assert visited == 22


def test_only_some_of_a_long_epoch_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(health_hook, '_NUM_SAMPLES', 6)
    monkeypatch.setattr(health_hook, '_NUM_ITERS', 3)
    images = write_images(tmp_path / 'images', 32)  # eight iterations
    runner = trained(images, tmp_path / 'run', **NECK, **TWO_EPOCHS)
    hook = next(hook for hook in runner.hooks if isinstance(hook, SeenByHealthHook))
    seen = hook.seen[8:]
    stream = [int(id_) for _, ids, *_ in hook.seen for id_ in ids]
    hits, metrics = [], scalars(tmp_path / 'run')[2]
    for i in (2, 5, 7):  # the last of each third
        features, ids, active, rows = seen[i]
        cosines = torch.nn.functional.cosine_similarity(features[0, :2, None], rows[None], dim=2)
        hits += (active[cosines.argmax(1)] == ids[:2]).tolist()
    assert metrics['instance_top1'] == pytest.approx(100 * sum(hits) / 6)
    # features of the last six samples
    assert metrics['rank_backbone'] == pytest.approx(naive_rank(torch.cat(hook.backbone[-2:])[-6:]), rel=1e-3)
    assert metrics['images_visited'] == pytest.approx(100 * len(set(stream)) / 32)
    assert metrics['visits_per_image'] == 2


def test_training_is_the_same_to_the_bit(tmp_path):
    images = write_images(tmp_path / 'images', 22)
    results = []
    for name in ('with', 'without'):
        runner = trained(images, tmp_path / name, record=False, health=name == 'with', **NECK, **TWO_EPOCHS)
        results.append(trained_state(runner))
        assert bool(scalars(tmp_path / name)) == (name == 'with')
    assert_same(*results)


def test_a_resumed_run_goes_on_with_the_same_numbers(tmp_path):
    images = write_images(tmp_path / 'images', 22)
    trained(images, tmp_path / 'whole', record=False, **NECK)
    trained(images, tmp_path / 'parts', record=False, **NECK, **TWO_EPOCHS)
    trained(images, tmp_path / 'parts', record=False, **NECK, resume=True)
    whole, parts = scalars(tmp_path / 'whole'), scalars(tmp_path / 'parts')
    assert list(parts) == [1, 2, 3, 4] and whole == parts


def of_rank(rank, world_size, folder, broken):
    cfg = tiny_config(folder / 'images', folder / f'of-{world_size}', **NECK, **{
        'train_dataloader.batch_size': 8 // world_size, 'train_cfg.max_epochs': 3, 'model.head.num_negatives': 12,
        'custom_hooks.0.max_unreadable_share': 0.2})
    if world_size > 1:
        cfg.launcher, cfg.model_wrapper_cfg = 'pytorch', dict(type='MMDistributedDataParallel', device_ids=None)
    Runner.from_cfg(cfg).train()
    return scalars(folder / f'of-{world_size}')


@pytest.mark.parametrize('broken', [False, True])
def test_two_ranks_log_the_numbers_of_one(tmp_path, broken):
    images = write_images(tmp_path / 'images', 22)
    if broken:
        (images / 'a/004.png').write_bytes(b'no image')
    (one, ), (two, _) = (run_ranks(of_rank, size, tmp_path, broken) for size in (1, 2))
    assert list(one) == list(two) == [1, 2, 3]
    for epoch in one:
        assert two[epoch] == pytest.approx(one[epoch], rel=1e-3)
        assert all(math.isfinite(value) for value in one[epoch].values())


def test_by_iterations_as_often(tmp_path, monkeypatch):
    monkeypatch.setattr('time.sleep', lambda seconds: None)  # mmengine, where the data start again
    images = write_images(tmp_path / 'images', 22)
    by_epoch = trained(images, tmp_path / 'epochs', record=False, **NECK, **TWO_EPOCHS)
    cfg = tiny_config(images, tmp_path / 'iters', **NECK, log_processor=dict(by_epoch=False), **{
        'default_hooks.checkpoint.by_epoch': False, 'default_hooks.checkpoint.interval': 6})
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=15)
    for scheduler in cfg.param_scheduler:
        scheduler.update(by_epoch=False, begin=6 * scheduler.begin, end=6 * scheduler.end)
        del scheduler['convert_to_iter_based']
    Runner.from_cfg(cfg).train()
    logged = scalars(tmp_path / 'iters')
    assert by_epoch.iter == 12 and list(logged) == [6, 12]
    assert logged[12] == pytest.approx(scalars(tmp_path / 'epochs')[2])


@pytest.mark.parametrize('changes', [
    {'train_dataloader.sampler': dict(_delete_=True, type='DefaultSampler', shuffle=True)},
    {'default_hooks.sampler_seed': None},  # each epoch is the first one again
])
def test_another_order_says_nothing_about_visits(tmp_path, changes):
    cfg = tiny_config(write_images(tmp_path / 'images', 22), tmp_path / 'run', **TWO_EPOCHS)
    cfg.merge_from_dict(changes)
    Runner.from_cfg(cfg).train()
    assert set(scalars(tmp_path / 'run')[2]) == {'instance_top1', 'rank_projected'}


@MODELS.register_module(force=True)
class CollapsedBackbone(TinyBackbone):
    """All images have the same features."""

    def init_weights(self):
        torch.nn.init.zeros_(self.layers[-1].weight)
        torch.nn.init.ones_(self.layers[-1].bias)


def test_a_collapse_is_named_once_with_what_to_do(tmp_path, capsys):
    trained(write_images(tmp_path / 'images', 22), tmp_path / 'run', record=False, **NECK, **{
        'model.backbone.type': 'CollapsedBackbone', 'model.head.temperature': 50.0,
        'optim_wrapper.optimizer.lr': 1e-9, 'train_cfg.max_epochs': 7})
    out = capsys.readouterr().out
    metrics = scalars(tmp_path / 'run')
    assert metrics[7]['rank_backbone'] == pytest.approx(1, abs=0.01)
    for text in ('the backbone features have collapsed: their effective rank is 1.00 after 5.5 visits of each image',
                 'the projected features have collapsed: their effective rank is 1.00', 'Lower the learning rate',
                 'nothing is learnt yet: after 5.5 visits of each image its own row is the nearest for',
                 'by chance it would be for 12.50 %, and the loss is 2.08 where guessing has log 8 = 2.08'):
        assert out.count(text) == (2 if text.startswith('Lower') else 1), out


def test_with_another_model_it_does_nothing():
    hook, runner = HealthHook(), SimpleNamespace(model=torch.nn.Linear(2, 2), iter=0)
    hook.before_train(runner)
    hook.before_train_iter(runner, 0)
    hook.after_train_iter(runner, 0)


def test_tensorboard_has_the_names_and_steps(tmp_path):
    accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    trained(write_images(tmp_path / 'images', 22), tmp_path / 'run', record=False, **TWO_EPOCHS,
            visualizer=dict(vis_backends=backends))
    folder, = {os.path.dirname(path) for path in (tmp_path / 'run').rglob('events.out.tfevents*')}
    events = accumulator.EventAccumulator(folder)
    events.Reload()
    logged = scalars(tmp_path / 'run')
    for name in ('instance_top1', 'rank_projected', 'images_visited', 'loss_within_10'):
        assert [(event.step, event.value) for event in events.Scalars(f'health/{name}')] == [
            (epoch, pytest.approx(metrics[name])) for epoch, metrics in logged.items()]
    assert [event.step for event in events.Scalars('loss')] == list(range(1, 13))
