"""Plans a training on some images: its settings, its config, and how long it will take."""
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

from pic_plugin import engine, models  # noqa: F401  (registered)
from pic_plugin.datasets import InstanceDataset
from pic_plugin.engine.mixed_precision import use_amp

from .config_text import config_text
from .resources import resource
from .settings import SMALL, Machine, Setting, choose_settings
from .trial import Look, look_at, views_per_second

_BASE, _SMALL_BASE = 'configs/pic/pic_r50_8xb64_200e.py', 'configs/pic/pic_r18-3stage-w32_1xb128_40e_digits.py'
_DEPTHS = {f'resnet{depth}': depth for depth in (18, 34, 50, 101)}  # a backbone that is none of these is _SMALL_BASE's
# setting -> the key that it stands at in the config
_KEYS = {
    'size': 'train_dataloader.dataset.pipeline', 'backbone': 'model.backbone',
    'batch_size': 'train_dataloader.batch_size', 'window_size': 'train_dataloader.sampler.window_size',
    'window_stride': 'train_dataloader.sampler.window_stride', 'num_negatives': 'model.head.num_negatives',
    'learning_rate': 'optim_wrapper.optimizer.lr', 'batch_norm_in_neck': 'model.neck',
    'visits': 'train_cfg', 'warmup_visits': 'param_scheduler', 'workers': 'train_dataloader.num_workers',
}


class Plan(NamedTuple):
    """A training."""
    look: Look
    settings: dict[str, Setting]
    views_per_second: float
    config: Config

    @property
    def hours(self) -> float:
        """How long it will take."""
        return self.settings['visits'].value * self.look.images.number / self.views_per_second / 3600

    def text(self, heading: str) -> str:
        """The config, with a comment on each chosen number."""
        comments = {_KEYS[name]: f'{name.replace("_", " ")}: {setting.reason}'
                    for name, setting in self.settings.items()}
        return config_text(self.config.to_dict(), comments, heading)

    def lines(self) -> list[str]:
        """What is trained on, with what, and for how long."""
        images, look = self.look.images, self.look
        unreadable = f', of which {look.num_unreadable} cannot be read' if look.num_unreadable else ''
        views = self.settings['visits'].value * images.number
        return [
            f'{images.number:,} images; {look.num_looked_at} were looked at{unreadable}: '
            f'{"grey" if images.grey else "in colour"}, short side {images.short_side} pixels (median)',
            *(f'  {name:<20}{setting.value!s:<10}{setting.reason}' for name, setting in self.settings.items()),
            f'{views:,} views, {-(-views // self.settings["batch_size"].value):,} steps, at some '
            f'{self.views_per_second:.0f} views a second: {_duration(self.hours)}']


def plan_training(images: Mapping[str, Any], out: Path, cpu: bool = False, seed: int = 0,
                  cfg_options: Optional[Mapping[str, Any]] = None, **given: Any) -> Plan:
    """Look at some of the images, choose the settings, and try for some seconds how fast they are.

    Args:
        images: ``data_root`` and ``ann_file`` of :class:`InstanceDataset`.
        out: the work directory.
        cpu: train on the CPU, whether there are GPUs or not.
        seed: of everything random.
        cfg_options: what is to be different in the config, by dotted keys.
        given: the settings that :func:`.choose_settings` takes.

    Raises:
        ValueError: if there are too few images, none that can be read, or settings that do not go together.
    """
    MMLogger.get_instance('pretrain', log_level='WARNING')
    init_default_scope('mmpretrain')
    dataset = InstanceDataset(**images, pipeline=[dict(type='LoadImageFromFile')])
    num_gpus = 0 if cpu else torch.cuda.device_count()
    machine = Machine(num_gpus, torch.cuda.get_device_properties(0).total_memory if num_gpus else 0,
                      len(os.sched_getaffinity(0)))
    look = look_at(dataset)

    def config_of(settings: Mapping[str, Setting]) -> Config:
        config, small = (Config.fromfile(str(resource(path))) for path in (_BASE, _SMALL_BASE))
        config.merge_from_dict(_changes(settings, look, machine, images, config, small))
        if num_gpus:
            use_amp(config, 'auto')
        config.merge_from_dict({'work_dir': str(out), 'randomness.seed': seed, **(cfg_options or {})})
        return config

    settings = choose_settings(look.images, machine, **given)
    speed = views_per_second(config_of(settings), machine)
    settings = choose_settings(look.images, machine, **given, views_per_second=speed)
    return Plan(look, settings, speed, config_of(settings))


def _changes(settings: Mapping[str, Setting], look: Look, machine: Machine, images: Mapping[str, Any], base: Config,
             small: Config) -> dict[str, Any]:
    """What differs from the paper's config, by dotted keys; for small images as in the quickstart's.

    Small grey images are symbols more often than scenes: the quickstart's augmentations turn none into another.
    """
    value = {name: setting.value for name, setting in settings.items()}
    num_gpus, size = machine.num_gpus, value['size']
    symbols = look.images.grey and size <= SMALL
    depth = _DEPTHS.get(value['backbone'])
    channels = 128 if depth is None else 512 if depth < 50 else 2048
    views = (small if symbols else base).train_dataloader.dataset.to_dict()['pipeline']
    if symbols:
        views[1]['scale'] = (size, size)
        whole = [*views[:2], views[-1]]
    else:
        views[0]['crops']['size'] = size
        whole = [dict(type='LoadImageFromFile'),
                 dict(type='ResizeEdge', scale=round(size * 8 / 7), edge='short', backend='pillow'),
                 dict(type='CenterCrop', crop_size=size), views[-1]]
    iters_per_epoch = -(-look.images.number // value['batch_size'])
    return {
        **({'model.data_preprocessor': dict(small.model.data_preprocessor, mean=look.mean[:1], std=look.std[:1],
                                            _delete_=True)} if symbols else {}),
        'model.backbone': dict(
            **(dict(small.model.backbone, in_channels=1 if symbols else 3) if depth is None else
               dict(type='ResNet', depth=depth, zero_init_residual=depth >= 50)), _delete_=True),
        'model.neck': dict((small if value['batch_norm_in_neck'] else base).model.neck, in_channels=channels,
                           hid_channels=max(256, channels), out_channels=128, _delete_=True),
        'model.head.num_negatives': value['num_negatives'],
        'train_dataloader.batch_size': value['batch_size'] // max(1, num_gpus),
        'train_dataloader.num_workers': value['workers'],
        'train_dataloader.persistent_workers': value['workers'] > 0,
        'train_dataloader.pin_memory': num_gpus > 0,
        'train_dataloader.sampler.window_size': value['window_size'],
        'train_dataloader.sampler.window_stride': value['window_stride'],
        **{f'train_dataloader.dataset.{name}': value for name, value in images.items()},
        'train_dataloader.dataset.pipeline': views,
        'test_pipeline': whole,
        'optim_wrapper.optimizer.lr': value['learning_rate'],
        'param_scheduler': [
            dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=value['warmup_visits'],
                 convert_to_iter_based=True),
            dict(type='CosineAnnealingLR', by_epoch=True, begin=value['warmup_visits'], end=value['visits'],
                 convert_to_iter_based=True),
        ][value['warmup_visits'] == 0:],
        'auto_scale_lr.base_batch_size': value['batch_size'],
        'train_cfg.max_epochs': value['visits'],
        'default_hooks.checkpoint.interval': max(1, value['visits'] // 20),
        'default_hooks.logger.interval': max(1, min(100, iters_per_epoch // 2)),
    }


def _duration(hours: float) -> str:
    if hours < 1.5:
        return f'{max(1, round(hours * 60))} minutes'
    return f'{hours:.1f} hours' if hours < 48 else f'{hours / 24:.1f} days'
