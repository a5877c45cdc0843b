"""The configs of evidence do what their names say."""
import re

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS

from pic_plugin.evidence.runs import _DECISIVE, _OF_ANOTHER
from tests.tiny import ROOT

LISTS = {'all': '', '12k': 'train-12000.txt', '1k': 'train-1000.txt'}
ALL = sorted((ROOT / 'configs/glyphs').glob('*.py'))
# what is in neither paper, and Appendix F
OTHERS = {path.stem: path for path in ALL
          if re.search(r'adamw|vit|swin|convnext|margin|diet|classes-\d|capitals|lower', path.stem)}
CONFIGS = [path for path in ALL if path.stem not in OTHERS]
# method, images, epochs, and what was changed
NAME = re.compile(r'(pic|omw|simclr|moco|supervised)_(all|12k|1k)_(\d+)e(?:_(.+))?')
NUMBER = r'[\d.]+'


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_names(path):
    cfg = Config.fromfile(path)
    if path.stem == 'untrained':
        assert cfg.train_cfg.max_epochs == 0
        return
    method, images, epochs, changes = NAME.fullmatch(path.stem).groups()
    changes = set((changes or '').split('_')) - {''}
    kinds = dict(pic='PIC', omw='PIC', simclr='SimCLR', moco='MoCo', supervised='ImageClassifier')
    assert cfg.model.type == kinds[method]
    assert cfg.train_cfg.max_epochs == int(epochs)
    assert cfg.train_dataloader.dataset.get('ann_file', '') == LISTS[images]
    assert cfg.train_dataloader.batch_size == (64 if images == '1k' else 128)
    pipeline = [transform.type for transform in cfg.train_dataloader.dataset.pipeline]
    two_views = method in ('simclr', 'moco') or '2views' in changes
    assert pipeline == ['LoadImageFromFile', 'MultiView' if two_views else 'Augment', 'PackInputs']
    lr = next((float(change[2:]) for change in changes if re.fullmatch(f'lr{NUMBER}', change)), 0.06)
    assert cfg.optim_wrapper.optimizer.lr == lr
    if method in ('pic', 'omw'):
        check_instance_classification(cfg, method, images, changes - {'2views', f'lr{lr:g}'})
    else:
        assert changes <= {f'lr{lr:g}', 'tau0.1'}
        if method != 'supervised':
            assert cfg.model.head.temperature == (0.1 if 'tau0.1' in changes else 0.2)
        assert cfg.optim_wrapper.type == 'OptimWrapper' and 'custom_hooks' not in cfg


def check_instance_classification(cfg, method, images, changes):
    head, sampler = cfg.model.head, cfg.train_dataloader.sampler
    hooks = {hook.type: hook for hook in cfg.custom_hooks}
    numbers = {kind: [change[len(kind):] for change in changes if re.fullmatch(f'{kind}{NUMBER}', change)]
               for kind in ('k', 'sampled-', 'tau', 'rows-lr')}
    expected = dict(type='CosineInstanceHead', in_channels=64, temperature=0.2, num_negatives=2048)
    window = (4096, 512)
    if images == '1k':
        expected['num_negatives'], window = 512, (256, 64)
    if images == '12k' or 'once' in changes:
        window = (None, None)
    if images == '12k' or 'all-classes' in changes:
        expected['num_negatives'] = None
    for number in numbers['k'] + numbers['sampled-']:
        expected['num_negatives'] = int(number)
    for number in numbers['tau']:
        expected['temperature'] = float(number)
    rows = [dict(cfg.optim_wrapper.optimizer, lr=float(number)) for number in numbers['rows-lr']]
    assert cfg.optim_wrapper.get('row_optimizer') == next(iter(rows), None)
    for change in changes:
        if sizes := re.fullmatch(r'w(\d+)-s(\d+)', change):
            window = tuple(map(int, sizes.groups()))
    if 'no-correction' in changes:
        expected['weight_correction'] = False
    if 'plain-softmax' in changes:
        expected.update(cosine=False, temperature=1.0)
    prior = smoothing = method == 'omw'
    if method == 'omw':
        expected['temperature'] = 0.15
        prior = 'plain' not in changes and not numbers['sampled-']
        smoothing = prior and not changes & {'no-smoothing', 'fixed-bn', 'row-norm'}
        expected.update(label_smoothing=0.2 if smoothing else 0.0, num_hard_classes=10)
        for change in changes:
            if settings := re.fullmatch(rf'k(\d+)-alpha({NUMBER})', change):
                expected.update(num_hard_classes=int(settings[1]), label_smoothing=float(settings[2]))
    assert dict(head) == expected
    assert (sampler.window_size, sampler.window_stride) == window
    assert ('ContrastivePriorHook' in hooks) == prior
    if prior:
        options = {'fixed-bn': dict(running_bn=False), 'row-norm': dict(row_norm=0.08)}
        assert hooks['ContrastivePriorHook'] == dict(
            type='ContrastivePriorHook', **next((options[change] for change in changes if change in options), {}))
    assert ('ForgetRowsHook' in hooks) == ('forget' in changes)
    assert ('LossByDistanceHook' in hooks) == ('distance' in changes)
    assert cfg.model.neck.type == ('LinearNeck' if changes & {'no-mlp', 'linear-head'} else 'NonLinearNeck')
    augmentations = [one.type for one in cfg.train_dataloader.dataset.pipeline[1].get('augmentations', ())]
    assert augmentations == (['RandomAffine'] if 'weak' in changes else ['RandomAffine', 'RandomErasing']) or \
        'MultiView' in str(cfg.train_dataloader.dataset.pipeline[1])


def test_only_what_the_names_say_is_changed():
    """Network, views, optimizer and evaluation are the same for all, but for what a name says."""
    shared = ('param_scheduler', 'bank_dataloader', 'query_dataloader')
    cfgs = [Config.fromfile(path) for path in CONFIGS]
    for cfg in cfgs[1:]:
        assert cfg.model.backbone == cfgs[0].model.backbone
        assert all(cfg[name] == cfgs[0][name] for name in shared)
        assert {**cfg.optim_wrapper.optimizer, 'lr': 0, 'fused': 0} == {
            **cfgs[0].optim_wrapper.optimizer, 'lr': 0, 'fused': 0}


@pytest.mark.parametrize('name', ['pic_all_4e', 'pic_all_4e_2views', 'simclr_all_2e', 'moco_all_2e', 'omw_12k_10e',
                                  'supervised_all_4e', 'pic_12k_10e_weak', 'pic_12k_10e_linear-head'])
def test_model_and_views(name, tmp_path):
    cfg = Config.fromfile(ROOT / 'configs/glyphs' / f'{name}.py')
    init_default_scope(cfg.default_scope)
    names = [f'{label}/{i}.png' for i, label in enumerate(('7', 'lower_a', 'upper_a'))]
    for folder in (tmp_path, tmp_path / 'train'):
        for i, image in enumerate(names):
            (folder / image).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / image), np.random.default_rng(i).integers(0, 256, (28, 28), np.uint8))
    (tmp_path / 'train-12000.txt').write_text(''.join(f'{image} {i}\n' for i, image in enumerate(names)))
    dataset = DATASETS.build({**cfg.train_dataloader.dataset, 'data_root': str(tmp_path)})
    views = dataset[1]['inputs']
    views = views if isinstance(views, list) else [views]
    assert [tuple(view.shape) for view in views] == [(1, 28, 28)] * (2 if 'views' in name or 'all_2e' in name else 1)
    model = MODELS.build(cfg.model)
    features = model.extract_feat(views[0][None].float())
    assert features[-1].shape[1] == 64


def difference(one, other, prefix=''):
    """The keys by which two configs differ, in what a result depends on."""
    keys = set()
    for key in one.keys() | other.keys():
        a, b = one.get(key), other.get(key)
        if isinstance(a, dict) and isinstance(b, dict) and a.get('type') == b.get('type'):
            keys |= difference(a, b, f'{prefix}{key}.')
        elif a != b:
            keys.add(prefix + key)
    return keys


def settings(name):
    cfg = Config.fromfile(ROOT / 'configs/glyphs' / f'{name}.py').to_dict()
    return {key: cfg[key] for key in (*_DECISIVE, *_OF_ANOTHER) if key in cfg}


TARGET = {'train_dataloader.dataset.ann_file', 'bank_dataloader.dataset.ann_file', 'query_dataloader.dataset.ann_file',
          'train_cfg.max_epochs', 'model.head.temperature'}
ON = {'start_from', 'model.backbone.init_cfg', 'custom_hooks'}
TWO_OPTIMIZERS = {'optim_wrapper.optimizer', 'optim_wrapper.row_optimizer'}
VIT = {'model.backbone', 'model.neck.with_avg_pool', 'optim_wrapper.paramwise_cfg',
       'optim_wrapper.clip_grad', *TWO_OPTIMIZERS}
DIET = {'model.neck', 'model.head.cosine', 'model.head.temperature', 'model.head.uniform_smoothing', *TWO_OPTIMIZERS}
WINDOW = 'pic_12k_5e_k1024_w2048-s256'
CHANGES = {
    f'{WINDOW}_adamw': (WINDOW, TWO_OPTIMIZERS),
    f'{WINDOW}_vit': (WINDOW, VIT),
    f'{WINDOW}_swin': (WINDOW, VIT - {'model.neck.with_avg_pool'}),
    f'{WINDOW}_convnext': (WINDOW, VIT),
    **{f'untrained_{network}': (f'{WINDOW}_{network}', {'train_cfg.max_epochs'})
       for network in ('vit', 'swin', 'convnext')},
    f'{WINDOW}_margin': (WINDOW, {'model.head.margin'}),
    'diet_12k_5e': ('pic_12k_5e_all-classes', DIET),
    'diet_lower_40e': ('pic_lower_40e', DIET),
    'diet_lower_40e_on': ('diet_lower_40e', ON),
    'pic_12k_5e_classes-62': ('pic_12k_5e_all-classes', {'clusters', 'train_dataloader.dataset.class_of_image'}),
    **{f'pic_12k_5e_classes-{number}': ('pic_12k_5e_classes-62', {'clusters.num_classes', 'clusters.features_of'})
       for number in (248, 992, 3968)},
    'pic_capitals_6e': ('pic_12k_10e_k1024', TARGET | {
        'train_dataloader.sampler.window_size', 'train_dataloader.sampler.window_stride'}),
    'pic_lower_40e': ('pic_12k_10e_all-classes', TARGET),
    'untrained_lower': ('pic_lower_40e', {'train_cfg.max_epochs'}),
    'pic_lower_40e_prior': ('pic_lower_40e', {'custom_hooks'}),
    'pic_lower_40e_on': ('pic_lower_40e_prior', {*ON, *TWO_OPTIMIZERS, 'optim_wrapper.paramwise_cfg'}),
    'pic_lower_40e_on_lr5e-4': ('pic_lower_40e_on', {'optim_wrapper.optimizer.lr'}),
    'pic_lower_40e_on_lr2e-3': ('pic_lower_40e_on', {
        'optim_wrapper.optimizer.lr', 'optim_wrapper.paramwise_cfg.custom_keys.neck.lr_mult'}),
    'pic_lower_40e_on_sgd': ('pic_lower_40e_prior', ON),
    'pic_lower_40e_on_sgd_random-rows': ('pic_lower_40e_on_sgd', {'custom_hooks'}),
    'pic_lower_40e_on_sgd_no-neck': ('pic_lower_40e_on_sgd', {'model.neck'}),
}


def test_what_differs_in_the_others():
    assert OTHERS.keys() == CHANGES.keys()
    for name, (base, expected) in CHANGES.items():
        assert difference(settings(base), settings(name)) == expected, name


def test_settings_of_the_others():
    for name, of in OTHERS.items():
        cfg = Config.fromfile(of)
        number = re.search(r'(\d+)e(_|$)', name)
        assert cfg.train_cfg.max_epochs == (int(number[1]) if number else 0)
        if number := re.search(r'classes-(\d+)', name):
            assert cfg.clusters.num_classes == int(number[1])
            assert cfg.clusters.get('features_of') == (None if number[1] == '62' else 'pic_12k_5e_classes-62')
        assert cfg.model.head.temperature == (
            1.0 if name.startswith('diet') else 0.1 if re.search('capitals|lower', name) else 0.2)
        hooks = {hook.type for hook in cfg.custom_hooks}
        assert ('CheckBackboneHook' in hooks) == ('start_from' in cfg) == ('_on' in name)
        prior = ('_on' in name or 'prior' in name) and not re.search('random-rows|diet', name)
        assert ('ContrastivePriorHook' in hooks) == prior
        assert cfg.get('start_from', 'pic_capitals_6e') == 'pic_capitals_6e'
        by_adamw = re.search(r'adamw|vit|swin|convnext|diet|_on(?!_sgd)', name)
        assert cfg.optim_wrapper.optimizer.type == ('AdamW' if by_adamw else 'SGD')
        rows = cfg.optim_wrapper.get('row_optimizer', cfg.optim_wrapper.optimizer)
        assert rows.type == 'SGD' and (rows.lr == 0.06 or name.startswith('diet'))
