"""Each protocol's config builds, and its settings are the published ones."""
import re

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from torch.nn.modules.batchnorm import _BatchNorm

from tests.tiny import ROOT

CONFIGS = {path.stem: path for path in sorted((ROOT / 'configs/benchmarks').rglob('*.py'))}
FULL = [name for name in CONFIGS if '_r50_' in name]
DIGITS = [name for name in CONFIGS if 'digits' in name]

# name: batch, learning rates of backbone and classifier, weight decay, epochs, classes
PUBLISHED = {
    'linear_r50_8xb32_100e_in1k': (256, None, 30.0, 0.0, 100, 1000),
    'linear_r50_8xb32_100e_in11k': (256, None, 30.0, 0.0, 100, 11221),
    'linear_r50_8xb256-lr40_100e_in1k': (2048, None, 40.0, 0.0, 100, 1000),
    'semi_r50_8xb32_10e_in1k-1percent': (256, 0.001, 15.0, 3e-5, 10, 1000),
    'semi_r50_8xb32_20e_in1k-10percent': (256, 0.001, 10.0, 3e-5, 20, 1000),
    'finetune_r50_8xb32_100e_inat2018': (256, 0.2, 0.2, 1e-4, 100, 8142),
}
OURS = {'cifar10': 10, 'cifar100': 100, 'sun397': 397, 'dtd': 47}


def load(name):
    cfg = Config.fromfile(CONFIGS[name])
    init_default_scope(cfg.default_scope)
    return cfg


def test_all_are_known():
    assert sorted(FULL) == sorted([*PUBLISHED, *(f'finetune_r50_8xb32_20k_{name}' for name in OURS)])
    assert len(DIGITS) == 4 and len(CONFIGS) == len(FULL) + len(DIGITS)


@pytest.mark.parametrize('name', FULL)
def test_settings(name):
    cfg = load(name)
    gpus, per_gpu = map(int, re.search(r'_(\d+)xb(\d+)', name).groups())
    model = MODELS.build(cfg.model)
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    rates = {key: {group['lr'] for group in optim_wrapper.param_groups
                   if any(p is q for p in group['params'] for q in getattr(model, key).parameters())}
             for key in ('backbone', 'head')}
    group = optim_wrapper.param_groups[0]
    assert type(optim_wrapper.optimizer).__name__ == 'SGD' and group['momentum'] == 0.9
    scheduler, = cfg.param_scheduler  # no warm-up
    assert scheduler.type == 'CosineAnnealingLR' and 'begin' not in scheduler and 'eta_min' not in scheduler
    assert cfg.train_dataloader.batch_size == per_gpu and cfg.auto_scale_lr.base_batch_size == gpus * per_gpu
    if name not in PUBLISHED:
        assert (gpus * per_gpu, cfg.train_cfg.max_iters, scheduler.end) == (256, 20000, 20000)
        assert model.head.num_classes == OURS[name.split('_')[-1]]
        return
    batch, backbone_lr, classifier_lr, weight_decay, epochs, num_classes = PUBLISHED[name]
    assert gpus * per_gpu == batch
    assert list(rates['head']) == pytest.approx([classifier_lr])
    assert backbone_lr is None or list(rates['backbone']) == pytest.approx([backbone_lr])
    assert {group['weight_decay'] for group in optim_wrapper.param_groups} == {weight_decay}
    assert cfg.train_cfg.max_epochs == scheduler.end == epochs
    assert model.head.num_classes == num_classes


@pytest.mark.parametrize('name', list(CONFIGS))
def test_what_is_frozen(name):
    model = MODELS.build(load(name).model).train()
    norms = [module for module in model.backbone.modules() if isinstance(module, _BatchNorm)]
    frozen = name.startswith('linear')
    assert all(norm.training != frozen for norm in norms)
    assert all(parameter.requires_grad != frozen for parameter in model.backbone.parameters())
    assert all(parameter.requires_grad for parameter in model.head.parameters())


@pytest.mark.parametrize('name', FULL)
def test_views(name):
    cfg = load(name)
    train, val = (cfg[f'{split}_dataloader'].dataset for split in ('train', 'val'))
    types = [transform.type for transform in train.get('dataset', train).pipeline if 'Load' not in transform.type]
    assert types == ['RandomResizedCrop', 'RandomFlip', 'PackInputs']
    assert [transform.type for transform in val.pipeline if 'Load' not in transform.type] == [
        'ResizeEdge', 'CenterCrop', 'PackInputs']
    assert cfg.val_evaluator == dict(type='Accuracy', topk=(1, 5))


def test_the_cosine_classifier():
    assert load('finetune_r50_8xb32_100e_inat2018').model.head == dict(
        type='CosineClsHead', num_classes=8142, in_channels=2048, temperature=0.03, topk=(1, 5))


@pytest.mark.parametrize('name, share', [('10e_in1k-1percent', 0.01), ('20e_in1k-10percent', 0.1)])
def test_share_of_labels(name, share):
    dataset = load(f'semi_r50_8xb32_{name}').train_dataloader.dataset
    assert (dataset.type, dataset.subset, dataset.dataset.type) == ('LabelledSubset', share, 'ImageNet')


@pytest.mark.parametrize('name', DIGITS)
def test_the_digits_network_is_the_one_that_was_pretrained(name):
    pretrained = Config.fromfile(next((ROOT / 'configs/pic').glob('*digits.py')))
    cfg = load(name)
    assert {key: cfg.model.backbone[key] for key in pretrained.model.backbone} == pretrained.model.backbone
    for key in ('mean', 'std'):
        assert cfg.model.data_preprocessor[key] == pretrained.model.data_preprocessor[key]
    assert cfg.train_dataloader.batch_size == int(re.search(r'_1xb(\d+)_', name)[1])


@pytest.mark.parametrize('name', list(CONFIGS))
def test_the_checkpoint_is_named_by_the_environment_and_checked(name, monkeypatch):
    monkeypatch.delenv('CHECKPOINT', raising=False)
    assert load(name).model.backbone.init_cfg == dict(type='Pretrained', checkpoint='none')
    monkeypatch.setenv('CHECKPOINT', '/somewhere/backbone.pth')
    assert load(name).model.backbone.init_cfg.checkpoint == '/somewhere/backbone.pth'
    assert load(name).custom_hooks[0] == dict(type='CheckBackboneHook')
