"""A protocol, by its own config and the real runner, with sizes cut as by --cfg-options."""
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from pic_plugin.visualization.curves import read_scalars
from tests.tiny import ROOT

# a ResNet-18 with an eighth of the channels, on images of 32 px
SMALL = {
    'model.backbone.depth': 18, 'model.backbone.stem_channels': 8, 'model.backbone.base_channels': 8,
    'model.head.in_channels': 64,
    **{f'{split}_dataloader.{key}': value for split in ('train', 'val')
       for key, value in (('batch_size', 40), ('num_workers', 0), ('persistent_workers', False))},
    'default_hooks.logger.interval': 1, 'default_hooks.checkpoint.interval': 1000,
}


def config_path(name: str) -> Path:
    """Of a config by its stem."""
    return next((ROOT / 'configs').rglob(f'{name}.py'))


def small_pipelines(cfg: Config) -> None:
    """Images of 32 px, and crops that show most of them."""
    for split in ('train', 'val'):
        dataset = cfg[f'{split}_dataloader'].dataset
        for transform in dataset.get('dataset', dataset).pipeline:
            if transform.type == 'RandomResizedCrop':
                transform.update(scale=32, crop_ratio_range=(0.7, 1.0))
            elif transform.type in ('ResizeEdge', 'CenterCrop'):
                transform['scale' if transform.type == 'ResizeEdge' else 'crop_size'] = 32


def run(name: str, work_dir: Path, checkpoint=None, **changes):
    """Train; returns the runner, the losses over the iterations and the last metrics."""
    cfg = Config.fromfile(config_path(name))
    small_pipelines(cfg)
    cfg.merge_from_dict({**SMALL, 'work_dir': str(work_dir), 'experiment_name': str(work_dir), **changes})
    if checkpoint is None:
        cfg.merge_from_dict({'model.backbone.init_cfg': dict(type='Kaiming', layer='Conv2d', _delete_=True)})
    else:
        cfg.merge_from_dict({'model.backbone.init_cfg.checkpoint': str(checkpoint)})
    runner = Runner.from_cfg(cfg)
    runner.train()
    scalars = read_scalars(work_dir)
    return (runner, [entry['loss'] for entry in scalars if 'loss' in entry],
            [entry for entry in scalars if 'accuracy/top1' in entry][-1])


def save_backbone(runner: Runner, path: Path) -> Path:
    """As InstanceCheckpointHook does it."""
    torch.save(runner.model.backbone.state_dict(), path)
    return path
