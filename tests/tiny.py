"""A training run that takes a second: small images, a small network, the real runner."""
from pathlib import Path
from typing import Any, Optional

import cv2
import numpy as np
import torch
import yapf.yapflib.yapf_api
from mmengine.config import Config
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

ROOT = Path(__file__).parents[1]

# mmengine lays out the config's text for each checkpoint, which takes longer than these trainings
yapf.yapflib.yapf_api.FormatCode = lambda text, **style: (text, False)


@MODELS.register_module(force=True)
class TinyBackbone(BaseModule):
    """Two layers on the pixels, in the parameters' precision; no BatchNorm, so that ranks do not matter."""

    def __init__(self, size: int = 8, dropout: float = 0.0, in_channels: int = 1,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(in_channels * size * size, 12), nn.Tanh(),
                                    nn.Dropout(dropout), nn.Linear(12, 6))

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.layers(x.to(self.layers[1].weight.dtype)), )


def write_images(folder: Path, num_images: int, size: int = 8, seed: int = 0) -> Path:
    """Grey PNG files of random pixels, half in each of two folders."""
    generator = np.random.default_rng(seed)
    for i in range(num_images):
        path = folder / 'ab'[i % 2] / f'{i:03d}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), generator.integers(0, 256, (size, size), np.uint8))
    return folder


def tiny_config(images: Path, work_dir: Path, **changes: Any) -> Config:
    """The runtime of the real configs, around the tiny network; ``changes`` are merged as by --cfg-options."""
    load = dict(type='LoadImageFromFile', color_type='grayscale')
    cfg = Config.fromfile(ROOT / 'configs/_base_/instance_runtime.py')
    cfg.merge_from_dict(dict(
        work_dir=str(work_dir),
        experiment_name=str(work_dir).replace('/', '_'),  # mmengine keeps one log per name
        model=dict(
            type='PIC',
            data_preprocessor=dict(type='InstanceDataPreprocessor', mean=[127.0], std=[64.0]),
            backbone=dict(type='TinyBackbone'),
            head=dict(type='CosineInstanceHead', in_channels=6, num_negatives=8, temperature=0.3)),
        train_dataloader=dict(
            batch_size=4,
            num_workers=0,
            sampler=dict(type='SlidingWindowSampler', window_size=10, window_stride=5),
            collate_fn=dict(type='default_collate'),
            dataset=dict(
                type='InstanceDataset', data_root=str(images),
                pipeline=[load, dict(type='RandomResizedCrop', scale=8, crop_ratio_range=(0.5, 1.0)),
                          dict(type='PackInputs')])),
        optim_wrapper=dict(
            type='WeightCorrectingOptimWrapper',
            optimizer=dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=1e-2)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
            dict(type='CosineAnnealingLR', by_epoch=True, begin=1, end=4, convert_to_iter_based=True),
        ],
        train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=4),
        log_level='WARNING'))
    del cfg.default_hooks['curves']  # to draw takes longer than to train
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.interval = 1
    cfg.merge_from_dict(changes)
    return cfg


def rows_of(runner: Any) -> tuple[Tensor, Tensor]:
    """All rows and momenta of a runner's head."""
    model = runner.model.module if hasattr(runner.model, 'module') else runner.model
    return model.head.gather_rows()


def network_of(runner: Any) -> dict[str, Tensor]:
    """The state dict of a runner's model."""
    model = runner.model.module if hasattr(runner.model, 'module') else runner.model
    return {name: tensor.cpu().clone() for name, tensor in model.state_dict().items()}


def trained_state(runner: Any) -> dict[str, Tensor]:
    """All rows and momenta, and the network."""
    weight, momentum = rows_of(runner)
    return dict(weight=weight, momentum=momentum, **network_of(runner))


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    """To the bit."""
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name
