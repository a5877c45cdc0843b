"""A forward of two images before training: what does not fit is named, what fits trains with the same bits."""
import random

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from pic_plugin.engine.hooks import instance_rows_hook
from tests.tiny import ROOT, assert_same, tiny_config, trained_state, write_images

RESNET = dict(type='ResNet', depth=18, in_channels=1, stem_channels=8, base_channels=8)  # maps of 64 channels
NECK = dict(type='MoCoV2Neck', in_channels=64, hid_channels=8, out_channels=6)
PACK = dict(type='PackInputs')
LOAD = dict(type='LoadImageFromFile', color_type='grayscale')
CROP = dict(type='RandomResizedCrop', scale=8)


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / 'images', 12)


def config(images, folder, backbone=None, neck=None, collate_fn=None, pipeline=None, **changes):
    cfg = tiny_config(images, folder, **changes)
    cfg.model.update({'neck': neck} if backbone is None else {'backbone': backbone, 'neck': neck})
    if collate_fn:
        cfg.train_dataloader.collate_fn = dict(type=collate_fn)
    if pipeline:
        cfg.train_dataloader.dataset.pipeline = pipeline
    return cfg


def trained(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


LOADER = r'train_dataloader does not fit: of two images a batch was expected, .* got '
BACKBONE = r'model\.backbone \(\w+\) does not fit: expected '
NECKS = r'model\.neck \(\w+\) does not fit: expected '
HEAD = r'model\.head \(CosineInstanceHead\) does not fit: expected '


@pytest.mark.parametrize('changes, message', [
    (dict(backbone=RESNET), HEAD + r'\[B, 6\], got \[2, 64, 1, 1\] float32; set model\.head\.in_channels'),
    (dict(neck=NECK), NECKS + r'\[B, 64, H, W\], got \(\[2, 6\] float32\) \(\w+Error: .*with_avg_pool=False'),
    (dict(backbone=RESNET, neck=NECK | {'in_channels': 32}),
     NECKS + r'\[B, 32, H, W\], got \(\[2, 64, 1, 1\] float32\) \(RuntimeError: .*; set model\.neck\.in_channels'),
    (dict(backbone=RESNET, neck=NECK | {'out_channels': 5}), HEAD + r'\[B, 6\], got \[2, 5\] float32'),
    (dict(backbone=RESNET | {'in_channels': 3}, neck=NECK), BACKBONE + r'\[B, 3, H, W\], got \[2, 1, 8, 8\] float32'),
    (dict(backbone=RESNET | {'out_indices': (2, 3)}, neck=NECK),
     NECKS + r'.*, got \(\[2, 32, 1, 1\] float32, \[2, 64, 1, 1\] float32\) \(AssertionError'),
    (dict(pipeline=[LOAD, dict(type='Resize', scale=9), PACK]), BACKBONE + r'\[B, 64\], got \[2, 1, 9, 9\] float32'),
    (dict(pipeline=[LOAD, CROP]), LOADER + r'ValueError: the pipeline must end with .*PackInputs'),
    (dict(collate_fn='pseudo_collate'), LOADER + r'\{inputs: \(\[1, 8, 8\] uint8, \[1, 8, 8\] uint8\), .*'
                                                 r"collate_fn=dict\(type='default_collate'\)"),
    (dict(collate_fn='pseudo_collate', pipeline=[
        LOAD, dict(type='MultiView', num_views=[2], transforms=[[CROP]]), PACK]), LOADER + r'\{inputs: \(\('),
])
def test_what_does_not_fit_is_named(images, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        trained(config(images, tmp_path / 'run', **changes))
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_images_of_several_sizes(images, tmp_path):
    write_images(images, 1, size=9)
    with pytest.raises(ValueError, match=LOADER + r'RuntimeError: [^$]*; let dataset.pipeline give images of one size'):
        trained(config(images, tmp_path / 'run', pipeline=[LOAD, PACK]))


@pytest.mark.parametrize('num_workers', [0, 2])
def test_four_channels_for_three(images, tmp_path, num_workers):
    for path in images.glob('*/*.png'):
        cv2.imwrite(str(path), np.full((8, 8, 4), 9, np.uint8))
    message = (r'model\.data_preprocessor \(\w+\) does not fit: .*, got \{inputs: \[2, 4, 8, 8\] uint8, '
               r'data_samples: \(DataSample, DataSample\)\} \(RuntimeError: .*; give model\.data_preprocessor a mean')
    with pytest.raises(ValueError, match=message):
        trained(config(images, tmp_path / 'run', pipeline=[LOAD | {'color_type': 'unchanged'}, PACK], **{
            'model.data_preprocessor.mean': [1.0] * 3, 'model.data_preprocessor.std': [1.0] * 3,
            'train_dataloader.num_workers': num_workers}))


def states(runner):
    generators = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    return generators, {name: tensor.clone() for name, tensor in runner.model.state_dict().items()}


def test_nothing_is_changed_by_it(images, tmp_path, monkeypatch):
    """BatchNorm, dropout and a pipeline that draws: generators, buffers and modes are as before; bits are the same."""
    looks = []

    def looking(runner):
        before = states(runner)
        check(runner)
        after = states(runner)
        assert before[0] == after[0] and runner.model.training
        assert_same(before[1], after[1])
        assert not any(part._forward_pre_hooks for part in runner.model.children())
        looks.append(runner)

    check = instance_rows_hook.check_network
    views = dict(type='MultiView', num_views=[1, 1], transforms=[[CROP | {'scale': 32}], [CROP | {'scale': 16}]])
    cfg = dict(backbone=RESNET, neck=dict(type='NonLinearNeck', in_channels=64, hid_channels=8, out_channels=6,
                                          num_layers=2, with_avg_pool=True, norm_cfg=dict(type='BN1d')),
               pipeline=[LOAD, views, PACK])
    outcomes = []
    for i, function in enumerate((looking, lambda runner: None)):
        monkeypatch.setattr(instance_rows_hook, 'check_network', function)
        runner = trained(config(images, tmp_path / f'run{i}', **cfg, **{
            'train_cfg.max_epochs': 1, 'randomness.seed': 3}))
        outcomes.append(trained_state(runner))
    assert len(looks) == 1
    assert_same(*outcomes)


def test_the_config_of_the_page(images, tmp_path):
    """As it stands there, the dots filled in; without its collate_fn it is said what is missing."""
    text = (ROOT / 'docs/options.md').read_text().split('## The parts')[1].split('```')[1].removeprefix('python')
    fills = ["dict(type='ResNet', depth=18)", "dict(type='MoCoV2Neck', in_channels=512, hid_channels=8, "
             'out_channels=128)', repr(str(images)), "[dict(type='LoadImageFromFile'), dict(type='RandomResizedCrop', "
             "scale=32), dict(type='PackInputs')]", 'batch_size=4, num_workers=0', 'lr=0.1, momentum=0.9']
    for fill in fills:
        text = text.replace('...', fill, 1)
    assert '...' not in text
    text = text.replace('131072', '8').replace('16384', '4').replace('65536', '8')
    text += "\ntrain_cfg = dict(by_epoch=True, max_epochs=1)\n"
    for i, own in enumerate((text, text.replace("    collate_fn=dict(type='default_collate'),\n", ''))):
        cfg = Config.fromstring(own, '.py')
        cfg.work_dir, cfg.experiment_name = str(tmp_path / f'run{i}'), f'{tmp_path}{i}'.replace('/', '_')
        if own == text:
            assert trained(cfg).epoch == 1
        else:
            with pytest.raises(ValueError, match=LOADER + '.*and set collate_fn='):
                trained(cfg)
