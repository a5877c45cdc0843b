"""The lazy path is dense SGD, through the real Runner, hooks, wrapper, sampler and config."""
import copy

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from tests.dense import DenseTable
from tests.tiny import network_of, rows_of, tiny_config, write_images

OPTIONS = ('lr', 'momentum', 'weight_decay', 'betas')


@HOOKS.register_module(force=True)
class RecordHook(Hook):
    """What each iteration saw."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.iterations = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        inputs = data_batch['inputs']
        self.iterations.append(dict(
            views=[view.clone() for view in (inputs if isinstance(inputs, list) else [inputs])],
            ids=torch.tensor([sample.sample_idx for sample in data_batch['data_samples']]),
            groups=[{name: value for name, value in group.items() if name in OPTIONS}
                    for group in runner.optim_wrapper.optimizer.param_groups]))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.iterations[-1]['loss'] = outputs['loss'].item()
        self.iterations[-1]['stepped'] = len(runner.optim_wrapper.step_log)


def multi_view(cfg, num_views):
    load, crop, pack = cfg.train_dataloader.dataset.pipeline
    cfg.train_dataloader.dataset.pipeline = [
        load, dict(type='MultiView', num_views=num_views, transforms=[[crop]] * len(num_views)), pack]


ADAMW = {'optim_wrapper.optimizer': dict(type='AdamW', lr=1e-3, weight_decay=0.05, _delete_=True),
         'optim_wrapper.row_optimizer': dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=1e-2)}
CASES = {
    'recent': {},
    'table on disk': {'model.head.table': 'disk'},
    'fused optimizer': {'optim_wrapper.optimizer.fused': True},
    'all classes': {'model.head.num_negatives': None},
    'accumulation and clipping': {
        'optim_wrapper.accumulative_counts': 3, 'optim_wrapper.clip_grad': dict(max_norm=0.5)},
    'options of the rows': {
        'optim_wrapper.paramwise_cfg': dict(custom_keys={'head.weight': dict(lr_mult=3.0, decay_mult=0.5)})},
    'another optimizer for the network': {
        **ADAMW, 'optim_wrapper.accumulative_counts': 3, 'optim_wrapper.clip_grad': dict(max_norm=0.5)},
    'another one with options': {
        **ADAMW, 'optim_wrapper.paramwise_cfg': dict(bias_decay_mult=0.0, custom_keys={'layers.4': dict(lr_mult=0.1)})},
    'its momentum schedule': {
        **ADAMW, 'param_scheduler': [dict(type='LinearMomentum', start_factor=0.5, by_epoch=False, begin=0, end=20)]},
    'classes of several images': dict(num_classes=11),
    'classes of several images, all': {'num_classes': 11, 'model.head.num_negatives': None},
    'two views': dict(num_views=[2]),
    'multi-crop': {'num_views': [1, 2], 'model.num_large_views': 1},
    'momentum schedule': {'param_scheduler': [
        dict(type='LinearMomentum', start_factor=0.5, by_epoch=False, begin=0, end=20),
        dict(type='PolyLR', by_epoch=False, begin=0, end=24)]},
}


@pytest.mark.parametrize('case', CASES)
def test_runner_equals_dense_sgd(case, tmp_path):
    changes = dict(CASES[case])
    num_views = changes.pop('num_views', None)
    num_images = 23
    images = write_images(tmp_path / 'images', num_images)
    num_classes = changes.pop('num_classes', num_images)
    class_of_image = torch.arange(num_images) * 7 % num_classes
    if num_classes < num_images:
        names = sorted(path.relative_to(images) for path in images.glob('*/*.png'))
        (images / 'classes.txt').write_text(''.join(f'{name} {i}\n' for name, i in zip(names, class_of_image)))
        changes['train_dataloader.dataset.class_of_image'] = 'classes.txt'
    cfg = tiny_config(images, tmp_path / 'run',
                      **{'train_cfg.max_epochs': 12, 'default_hooks.checkpoint.interval': 3, **changes})
    if num_views:
        multi_view(cfg, num_views)
    cfg.custom_hooks.append(dict(type='RecordHook'))
    runner = Runner.from_cfg(cfg)
    model = runner.model.double()
    start = copy.deepcopy(model.backbone).cpu()
    model.init_weights = lambda: None  # keep the start that was copied
    runner.train()
    record = next(hook for hook in runner.hooks if isinstance(hook, RecordHook)).iterations

    dense = DenseTable(num_classes, 6, model.head.num_negatives, 0.3, runner.seed)
    names = [name for name, _ in model.named_parameters()]
    parameters = [dense.weight if name == 'head.weight' else start.get_parameter(name.removeprefix('backbone.'))
                  for name in names]
    groups = record[0]['groups']
    if 'row_optimizer' in cfg.optim_wrapper:
        network = [p for p in parameters if p is not dense.weight]
        of_network = torch.optim.AdamW([{'params': [p]} for p in network] if len(groups) > 2 else network)
        optimizer = torch.optim.SGD([dense.weight], lr=0.2)
        optimizers = [of_network, optimizer]
    else:
        optimizer = torch.optim.SGD([{'params': [p]} for p in parameters] if len(groups) > 1 else parameters, lr=0.2)
        optimizers = [optimizer]
    dense_groups = [group for each in optimizers for group in each.param_groups]
    assert len(dense_groups) == len(groups)
    mean, std = 127.0, 64.0
    steps, counts = 0, cfg.optim_wrapper.get('accumulative_counts', 1)
    remainder = len(record) - len(record) % counts
    for i, iteration in enumerate(record):
        for group, options in zip(dense_groups, iteration['groups']):
            group.update(options)
        ids = iteration['ids'] if num_classes == num_images else class_of_image[iteration['ids']]
        dense.visit(ids.tolist())
        losses = []
        for v, view in enumerate(iteration['views']):
            features = start((view.double() - mean) / std)[0]
            losses.append(dense.loss(features, ids, train_rows=v < (model.num_large_views or len(iteration['views']))))
        loss = sum(losses) / len(losses)
        assert loss.item() == pytest.approx(iteration['loss'], abs=1e-10)
        (loss / (counts if i < remainder else len(record) % counts)).backward()
        if iteration['stepped'] > steps:
            steps += 1
            if cfg.optim_wrapper.get('clip_grad'):
                torch.nn.utils.clip_grad_norm_(parameters, 0.5)
            for each in optimizers:
                each.step()
                each.zero_grad()

    weight, momentum = rows_of(runner)
    assert len(record) == 12 * 6 and steps == -(-len(record) // counts)
    torch.testing.assert_close(weight, dense.weight.data, rtol=0, atol=1e-10)
    torch.testing.assert_close(momentum, optimizer.state[dense.weight]['momentum_buffer'], rtol=0, atol=1e-10)
    for name, tensor in network_of(runner).items():
        torch.testing.assert_close(tensor, start.state_dict()[name.removeprefix('backbone.')], rtol=0, atol=1e-10)
