"""Every config builds, and does what its name says."""
import re

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, MODELS

from tests.tiny import ROOT

CONFIGS = sorted((ROOT / 'configs/pic').glob('*.py'))
IMAGENET = [path for path in CONFIGS if 'digits' not in path.name]


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_model_and_views(path, tmp_path):
    for i in range(3):
        (tmp_path / 'n01440764').mkdir(exist_ok=True)
        image = np.random.default_rng(i).integers(0, 256, (40, 60, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f'n01440764/{i}.JPEG'), image)
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    assert model.head.weight.shape == (0, cfg.model.neck.out_channels)
    dataset = DATASETS.build({**cfg.train_dataloader.dataset, 'data_root': str(tmp_path)})
    assert len(dataset) == 3
    views = dataset[1]['inputs']
    shapes = [tuple(view.shape) for view in (views if isinstance(views, list) else [views])]
    if 'multicrop' in path.stem:
        assert shapes == [(3, 160, 160)] + [(3, 96, 96)] * 3
    elif 'digits' in path.stem:
        assert shapes == [(1, cfg.resolution, cfg.resolution)]
    else:
        assert shapes == [(3, 224, 224)] * (2 if '2views' in path.stem else 1)


@pytest.mark.parametrize('path', IMAGENET, ids=lambda path: path.stem)
def test_settings_are_those_of_appendix_c(path):
    cfg = Config.fromfile(path)
    backbone, gpus, batch_size, epochs = re.match(r'pic_(.+?)_(\d+)xb(\d+)_(\d+)e', path.stem).groups()
    assert cfg.train_dataloader.batch_size == int(batch_size)
    assert cfg.auto_scale_lr.base_batch_size == int(gpus) * int(batch_size) == 512
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler[1].end == int(epochs)
    assert cfg.param_scheduler[0].end == cfg.param_scheduler[1].begin == 5
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=1e-4, fused=True)
    assert cfg.model.backbone.type == {'r50': 'ResNet', 'swin-t': 'SwinTransformer'}[backbone]
    assert cfg.model.head.temperature == (1.0 if 'plain' in path.stem else 0.2)
    assert cfg.model.head.num_negatives == (None if 'all-classes' in path.stem else 65536)
    sampler = cfg.train_dataloader.sampler
    expected = (None, None) if 'epoch-based' in path.stem else (131072, 16384)
    assert (sampler.window_size, sampler.window_stride) == expected
    if 'multicrop' not in path.stem:
        assert cfg.view_pipeline[0].crop_ratio_range == (0.2, 1.0)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_at_most_two_levels_of_base(path):
    levels = 0
    while (match := re.search(r"^_base_ = '(.+)'", path.read_text(), re.M)):
        path = path.parent / match[1]
        levels += 1
    assert levels <= 2


def test_no_config_is_a_copy():
    lengths = {path.stem: len(path.read_text().splitlines()) for path in IMAGENET}
    assert all(length < 20 for name, length in lengths.items() if name != 'pic_r50_8xb64_200e')
