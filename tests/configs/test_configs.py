"""Every config builds, and does what its name says."""
import re

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS

from tests.tiny import ROOT

CONFIGS = [path for family in ('pic', 'one_million_way', 'diet')
           for path in sorted((ROOT / 'configs' / family).glob('*.py')) if 'glyphs' not in path.stem]  # test_glyphs.py
IMAGENET = [path for path in CONFIGS if 'digits' not in path.name]
TWO_BRANCHES = sorted((ROOT / 'configs/two_branches').glob('*.py'))
PIC, OMW = ([path for path in IMAGENET if path.parent.name == family] for family in ('pic', 'one_million_way'))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_model_and_views(path, tmp_path):
    for i in range(3):
        (tmp_path / 'n01440764').mkdir(exist_ok=True)
        image = np.random.default_rng(i).integers(0, 256, (40, 60, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f'n01440764/{i}.JPEG'), image)
    cfg = Config.fromfile(path)
    if (class_file := cfg.train_dataloader.dataset.get('class_of_image')) is not None:
        (tmp_path / class_file).write_text(''.join(f'n01440764/{i}.JPEG {i % 2}\n' for i in range(3)))
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    assert model.head.weight.shape == (0, cfg.model.neck.get('out_channels') or cfg.model.head.in_channels)
    dataset = DATASETS.build({**cfg.train_dataloader.dataset, 'data_root': str(tmp_path)})
    assert len(dataset) == 3
    views = dataset[1]['inputs']
    shapes = [tuple(view.shape) for view in (views if isinstance(views, list) else [views])]
    if 'multicrop' in path.stem:
        assert shapes == [(3, 160, 160)] + [(3, 96, 96)] * 3
    elif 'digits' in path.stem:
        # One-Million-Way's takes the digits as they are
        resolution = 40 if path.parent.name == 'one_million_way' else cfg.resolution
        assert shapes[0][:2] == (1, resolution)
    else:
        assert shapes == [(3, 224, 224)] * (2 if '2views' in path.stem or path in OMW else 1)


@pytest.mark.parametrize('path', PIC, ids=lambda path: path.stem)
def test_settings_are_those_of_appendix_c(path):
    cfg = Config.fromfile(path)
    backbone, gpus, batch_size, epochs = re.match(r'pic_(.+?)_(\d+)xb(\d+)_(\d+)e', path.stem).groups()
    assert cfg.train_dataloader.batch_size == int(batch_size)
    assert cfg.auto_scale_lr.base_batch_size == int(gpus) * int(batch_size) == 512
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[1].end == int(epochs)
    assert cfg.param_scheduler[0].end == cfg.param_scheduler[1].begin == 5
    assert cfg.train_dataloader.dataset.data_root == f'data/imagenet{"11k" if "in11k" in path.stem else ""}/train'
    of_rows = cfg.optim_wrapper.get('row_optimizer', cfg.optim_wrapper.optimizer)
    assert of_rows == dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=1e-4, fused=True)
    assert cfg.optim_wrapper.optimizer.type == ('SGD' if backbone == 'r50' else 'AdamW')
    assert cfg.model.backbone.type == {'r50': 'ResNet', 'swin-t': 'SwinTransformer', 'convnext-t': 'ConvNeXt',
                                       'vit-s16': 'VisionTransformer'}[backbone]
    assert cfg.model.head.temperature == (1.0 if 'plain' in path.stem else 0.2)
    assert cfg.model.head.get('cosine', True) == ('plain-softmax' not in path.stem)
    assert cfg.model.head.get('weight_correction', True) == ('no-correction' not in path.stem)
    num_negatives = re.search(r'_k(\d+)', path.stem)
    assert cfg.model.head.num_negatives == (
        None if 'all-classes' in path.stem else int(num_negatives[1]) if num_negatives else 65536)
    change = path.stem.split('e_')[1] if 'e_' in path.stem else ''
    class_file = f'{change}.txt' if change.startswith('classes-') else None
    assert cfg.train_dataloader.dataset.get('class_of_image') == class_file
    sampler, window = cfg.train_dataloader.sampler, re.search(r'_w(\d+)-s(\d+)', path.stem)
    expected = (None, None) if 'epoch-based' in path.stem else tuple(map(int, window.groups())) if window else (
        131072, 16384)
    assert (sampler.window_size, sampler.window_stride) == expected
    assert cfg.model.neck.type == ('LinearNeck' if 'no-mlp' in path.stem else 'MoCoV2Neck')
    types = [step.type for step in cfg.train_dataloader.dataset.pipeline[1].augmentations]
    assert ('GaussianBlur' in types) == ('weak-aug' not in path.stem) and 'ColorJitter' in types
    if 'multicrop' not in path.stem:
        assert cfg.train_dataloader.dataset.pipeline[0].crops in (cfg.crop, [cfg.crop] * 2)
        assert cfg.crop == dict(size=224, scale=(0.2, 1.0))


@pytest.mark.parametrize('path', OMW, ids=lambda path: path.stem)
def test_settings_are_those_of_one_million_way(path):
    cfg = Config.fromfile(path)
    gpus, batch_size, epochs = map(int, re.match(r'omw_r50_(\d+)xb(\d+)_(\d+)e', path.stem).groups())
    change = path.stem.split('e_')[1] if 'e_' in path.stem else ''
    head, hooks = cfg.model.head, [hook.type for hook in cfg.custom_hooks]
    assert cfg.train_dataloader.batch_size == batch_size == 64
    assert cfg.auto_scale_lr.base_batch_size == gpus * batch_size
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[1].end == epochs
    assert cfg.param_scheduler[0].end == cfg.param_scheduler[1].begin == (10 if epochs > 10 else 1)
    lr = 0.48 * gpus * batch_size / 4096
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=lr, momentum=0.9, weight_decay=1e-4, fused=True)
    assert (head.temperature, head.in_channels) == (0.15, 128)
    assert head.num_negatives == (int(change.removeprefix('sampled-')) if 'sampled' in change else None)
    assert cfg.train_dataloader.sampler.window_size is cfg.train_dataloader.sampler.window_stride is None
    without = 'plain' in change or 'sampled' in change
    assert ('ContrastivePriorHook' in hooks) != without
    if without or change in ('no-smoothing', 'fixed-bn'):
        assert head.label_smoothing == 0
    else:
        k, alpha = re.match(r'k(\d+)-alpha([\d.]+)', change).groups() if change.startswith('k') else (100, 0.2)
        assert (head.num_hard_classes, head.label_smoothing) == (int(k), float(alpha))
    if hooks[-1] == 'ContrastivePriorHook':
        assert cfg.custom_hooks[-1].get('running_bn', True) == (change != 'fixed-bn')
    assert cfg.model.neck.type == ('LinearNeck' if change == 'no-mlp' else 'MoCoV2Neck')


def test_all_tables_of_pic_are_there():
    names = {path.stem.removeprefix('pic_r50_8xb64_') for path in PIC if 'r50' in path.stem}
    once = '200e_epoch-based'
    table1 = {f'{once}_{change}' for change in ('plain-softmax', 'no-mlp', 'weak-aug')} | {once}
    table2 = {f'{once}_k{2**n}{correction}' for n in (9, 10, 12, 14, 16, 18) for correction in ('', '_no-correction')}
    table2 = table2 - {f'{once}_k65536'} | {f'{once}_all-classes'}
    table3 = {f'200e_w{w}-s16384' for w in (262144, 65536, 32768)} | {f'200e_w131072-s{s}' for s in (32768, 8192, 4096)}
    table4 = {f'{n}e{order}' for n in (50, 100, 200, 400, 1600) for order in ('', '_epoch-based')}
    table10 = {f'{n}e_in11k{order}' for n in (25, 50, 100) for order in ('', '_epoch-based')}
    figure4 = {f'200e_classes-{k}k' for k in (1, 2, 4, 16, 64, 128)}
    assert names == table1 | table2 | table3 | table4 | table10 | figure4 | {
        '100e_2views', '200e_2views', '200e_multicrop-1x160-3x96', 'pic_r50_1xb512_200e_forget'}


@pytest.mark.parametrize('path', TWO_BRANCHES, ids=lambda path: path.stem)
def test_mmpretrains_own(path, tmp_path):
    method, batch_size, epochs = re.match(r'(\w+)_r50_\d+xb(\d+)_(\d+)e', path.stem).groups()
    cfg = Config.fromfile(path)
    assert cfg.train_cfg.max_epochs == int(epochs) and cfg.train_dataloader.batch_size == int(batch_size)
    warmup = {'simclr': 10, 'mocov2': 0}[method]
    assert len(cfg.param_scheduler) == 1 + bool(warmup) and cfg.param_scheduler[0].get('end') in (10, int(epochs))
    cosine = cfg.param_scheduler[-1]
    assert (cosine.begin, cosine.end, cosine.T_max) == (warmup, int(epochs), int(epochs) - warmup)
    assert '_scope_' not in cfg.train_dataloader.collate_fn  # the Runner would hand it to the function
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    assert type(model).__name__ == {'simclr': 'SimCLR', 'mocov2': 'MoCo'}[method]
    assert model.backbone.depth == 50
    (tmp_path / 'n01440764').mkdir()
    cv2.imwrite(str(tmp_path / 'n01440764/0.JPEG'), np.zeros((40, 60, 3), np.uint8))
    dataset = DATASETS.build(dict(
        type='CustomDataset', data_root=str(tmp_path), pipeline=cfg.train_dataloader.dataset.pipeline))
    assert [tuple(view.shape) for view in dataset[0]['inputs']] == [(3, 224, 224)] * 2


@pytest.mark.parametrize('path', [path for path in CONFIGS if path.parent.name == 'diet'], ids=lambda path: path.stem)
def test_settings_are_those_of_diet(path):
    cfg = Config.fromfile(path)
    head, wrapper = cfg.model.head, cfg.optim_wrapper
    assert (head.num_negatives, head.cosine, head.temperature, head.uniform_smoothing) == (None, False, 1.0, 0.8)
    assert cfg.model.neck == dict(type='GlobalAveragePooling')
    assert wrapper.optimizer == dict(type='AdamW', lr=1e-3, weight_decay=0.05, fused=True)  # for 256 images
    assert wrapper.row_optimizer.type == 'SGD'
    assert cfg.train_dataloader.sampler.window_size is cfg.train_dataloader.sampler.window_stride is None
    if 'digits' in path.stem:
        return
    assert cfg.auto_scale_lr.base_batch_size == 256 == 8 * cfg.train_dataloader.batch_size
    assert cfg.param_scheduler[0].end == cfg.param_scheduler[1].begin == 10
    assert cfg.param_scheduler[1].end == cfg.train_cfg.max_epochs == 1000


def test_all_tables_of_one_million_way_are_there():
    names = {path.stem.removeprefix('omw_r50_') for path in OMW}
    lengths = {f'64xb64_{n}e' for n in (100, 200, 400, 1000)} | {'8xb64_200e'}
    table2 = {f'64xb64_200e_{change}' for change in ('no-mlp', 'plain', 'no-smoothing')}
    table3 = {f'8xb64_200e_sampled-{2**n}' for n in (10, 12, 14, 16)} | {'8xb64_200e_plain'}
    table4 = {f'64xb64_{n}e_{prior}' for n in (10, 25, 50, 100, 200, 400) for prior in ('plain', 'no-smoothing')}
    table5 = {f'64xb64_200e_k{k}-alpha{alpha}' for k, alpha in ((100, 0.1), (100, 0.3), (50, 0.2), (200, 0.2))}
    assert names == lengths | table2 | table3 | table4 | table5 | {'64xb64_10e_fixed-bn'}


@pytest.mark.parametrize('path', sorted((ROOT / 'configs').rglob('*.py')), ids=lambda path: path.stem)
def test_few_levels_of_base_and_nothing_outside(path):
    """Of experiments, each of which is a change to another, more than of others."""
    assert num_levels(path) <= (6 if (path.parent / 'tables.yml').exists() else 4)


def num_levels(path):
    assert path.is_relative_to(ROOT / 'configs')
    bases = re.search(r"^_base_ = (.+)$", path.read_text(), re.M)
    if not bases:
        return 0
    return 1 + max(0 if base.startswith('mmpretrain::') else num_levels((path.parent / base).resolve())
                   for base in re.findall(r"'(.+?)'", bases[1]))


def test_no_config_is_a_copy():
    lengths = {path.stem: len(path.read_text().splitlines()) for path in IMAGENET}
    assert all(length < 20 for name, length in lengths.items()
               if name not in ('pic_r50_8xb64_200e', 'omw_r50_64xb64_200e', 'diet_r50_8xb32_1000e'))
