"""The configs of evidence do what their names say."""
import re

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS

from tests.tiny import ROOT

LISTS = {'all': '', '12k': 'train-12000.txt', '1k': 'train-1000.txt'}
CONFIGS = sorted((ROOT / 'configs/glyphs').glob('*.py'))
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
        assert changes <= {f'lr{lr:g}'}
        assert cfg.optim_wrapper.type == 'OptimWrapper' and 'custom_hooks' not in cfg


def check_instance_classification(cfg, method, images, changes):
    head, sampler = cfg.model.head, cfg.train_dataloader.sampler
    hooks = {hook.type: hook for hook in cfg.custom_hooks}
    numbers = {kind: [change[len(kind):] for change in changes if re.fullmatch(f'{kind}{NUMBER}', change)]
               for kind in ('k', 'sampled-')}
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
