"""Plans a training on some images: its settings, its config, and how long it will take."""
import os
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple, Optional

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from pic_plugin import engine, models  # noqa: F401  (registered)
from pic_plugin.datasets import InstanceDataset
from pic_plugin.engine.mixed_precision import use_amp
from pic_plugin.model_zoo.start import Start

from .config_text import config_text
from .resources import resource
from .settings import SMALL, Machine, Setting, choose_settings
from .trial import Look, look_at, views_per_second

START = 'start.pth'  # in the work directory: the tensors that training goes on from
_BASE, _SMALL_BASE = 'configs/pic/pic_r50_8xb64_200e.py', 'configs/pic/pic_r18-3stage-w32_1xb128_40e_digits.py'
_ADAMW = 'configs/_base_/adamw.py'
_DEPTHS = {f'resnet{depth}': depth for depth in (18, 34, 50, 101)}  # a backbone that is none of these is _SMALL_BASE's
# setting -> the key that it stands at in the config
_KEYS = {
    'size': 'train_dataloader.dataset.pipeline', 'backbone': 'model.backbone',
    'batch_size': 'train_dataloader.batch_size', 'window_size': 'train_dataloader.sampler.window_size',
    'window_stride': 'train_dataloader.sampler.window_stride', 'num_negatives': 'model.head.num_negatives',
    'temperature': 'model.head.temperature',
    'learning_rate': 'optim_wrapper.optimizer.lr', 'network_lr': 'optim_wrapper.optimizer.lr',
    'batch_norm_in_neck': 'model.neck',
    'visits': 'train_cfg', 'warmup_visits': 'param_scheduler', 'workers': 'train_dataloader.num_workers',
}
# what --cfg-options would change behind the back of the plan
_SAID_ELSEWHERE = {
    'work_dir': '--out says where things go',
    'resume': 'it is an option of its own',
    **{f'train_dataloader.dataset.{name}': 'the settings are chosen from the images that are named: name a folder, '
       'several, or a text file with names' for name in ('data_root', 'data_prefix', 'ann_file', 'extensions')},
}


class Plan(NamedTuple):
    """A training."""
    look: Look
    settings: dict[str, Setting]
    views_per_second: float
    config: Config
    cfg_options: Mapping[str, Any]  # what the user has put in the place of a setting, or of anything else

    @property
    def hours(self) -> float:
        """How long it will take."""
        return self.settings['visits'].value * self.look.images.number / self.views_per_second / 3600

    def text(self, heading: str) -> str:
        """The config, with a comment on each chosen number."""
        keys = dict(_KEYS)
        if 'network_lr' in self.settings:
            keys['learning_rate'] = 'optim_wrapper.row_optimizer.lr'
        comments = {keys[name]: f'{name.replace("_", " ")}: {setting.reason}'
                    for name, setting in self.settings.items()}
        comments |= dict.fromkeys(self.cfg_options, 'by --cfg-options')
        text = config_text(self.config.to_dict(), comments, heading)
        # mmengine puts the config's folder there as it is, wherever that is moved to: it may have quotes in its name
        return text.replace(repr(_weights(Path(self.config.work_dir))), f'r"""{{{{ fileDirname }}}}/{START}"""')

    def lines(self) -> list[str]:
        """What is trained on, with what, and for how long."""
        images, look = self.look.images, self.look
        unreadable = f', of which {look.num_unreadable} cannot be read' if look.num_unreadable else ''
        visits, batch_size = (self.settings[name].value for name in ('visits', 'batch_size'))
        return [
            f'{images.number:,} images; {look.num_looked_at} were looked at{unreadable}: '
            f'{"grey" if images.grey else "in colour"}, short side {images.short_side} pixels (median)',
            *(f'  {name:<20}{setting.value!s:<10}{setting.reason}' for name, setting in self.settings.items()),
            *(f'  {key}={value}, whatever stands above: by --cfg-options' for key, value in self.cfg_options.items()),
            f'{visits * images.number:,} views, {visits * -(-images.number // batch_size):,} steps, at some '
            f'{self.views_per_second:.0f} views a second: {_duration(self.hours)}']


def plan_training(dataset: InstanceDataset, images: Mapping[str, Any], out: Path, cpu: bool = False, seed: int = 0,
                  tensorboard: bool = False, cfg_options: Optional[Mapping[str, Any]] = None,
                  start: Optional[Start] = None, **given: Any) -> Plan:
    """Look at some of the images, choose the settings, and try for some seconds how fast they are.

    Args:
        dataset: the images; its pipeline plays no part.
        images: its ``data_root`` and ``ann_file``.
        out: the work directory.
        cpu: train on the CPU, whether there are GPUs or not.
        seed: of everything random.
        tensorboard: whether to log for it, too.
        cfg_options: what is to be different in the config, by dotted keys.
        start: the backbone that training goes on from; its tensors are expected in ``start.pth`` in ``out``.
        given: the settings that :func:`.choose_settings` takes.

    Raises:
        ValueError: if there are too few images, none that can be read, settings that do not go together, or options
            that do not fit into the config or say again what is said elsewhere.
    """
    cfg_options = cfg_options or {}
    for key in cfg_options:
        if key in _SAID_ELSEWHERE:
            raise ValueError(f'{key} in --cfg-options cannot be: {_SAID_ELSEWHERE[key]}')
    init_default_scope('mmpretrain')
    num_gpus = 0 if cpu else torch.cuda.device_count()
    machine = Machine(num_gpus, torch.cuda.get_device_properties(0).total_memory if num_gpus else 0,
                      len(os.sched_getaffinity(0)))
    look = look_at(dataset)

    def config_of(settings: Mapping[str, Setting]) -> Config:
        config, small = (Config.fromfile(str(resource(path))) for path in (_BASE, _SMALL_BASE))
        symbols = look.images.grey and settings['size'].value <= SMALL and (start is None or start.in_channels == 1)
        config.merge_from_dict(_changes(settings, look, machine, images, config, small, symbols))
        if start is not None:
            config.merge_from_dict(_changes_of_start(settings, start, _weights(out), config, symbols))
        if num_gpus:
            use_amp(config, 'auto')
        if tensorboard:
            config.visualizer.vis_backends.append(dict(type='TensorboardVisBackend'))
        config.merge_from_dict({'work_dir': str(out), 'randomness.seed': seed})
        try:
            config.merge_from_dict(deepcopy(dict(cfg_options)))
        except (LookupError, TypeError) as error:
            raise ValueError(f'--cfg-options {cfg_options} do not fit into the config: {error}') from error
        return config

    given['start'] = None if start is None else start.architecture
    settings = choose_settings(look.images, machine, **given)
    speed = views_per_second(config_of(settings), dataset, machine)
    settings = choose_settings(look.images, machine, **given, views_per_second=speed)
    return Plan(look, settings, speed, config_of(settings), cfg_options)


def _changes(settings: Mapping[str, Setting], look: Look, machine: Machine, images: Mapping[str, Any], base: Config,
             small: Config, symbols: bool) -> dict[str, Any]:
    """What differs from the paper's config, by dotted keys; for small images as in the quickstart's.

    Small grey images are symbols more often than scenes: the quickstart's augmentations turn none into another.
    """
    value = {name: setting.value for name, setting in settings.items()}
    num_gpus, size = machine.num_gpus, value['size']
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
        'model.head.temperature': value['temperature'],
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


def _changes_of_start(settings: Mapping[str, Setting], start: Start, weights: str, config: Config,
                      symbols: bool) -> dict[str, Any]:
    """What differs besides where training goes on from a backbone.

    Raises:
        ValueError: if it does not take such images.
    """
    if start.in_channels != (1 if symbols else 3):
        raise ValueError(f'{start.source} takes images of {start.in_channels} channels, and these are trained on as '
                         f'{"small grey symbols, of 1" if symbols else "pictures, of 3"}: go on from another network')
    channels, is_map = start.features(settings['size'].value)
    by_adamw = Config.fromfile(str(resource(_ADAMW))).to_dict()['by_adamw']
    by_adamw['optimizer']['lr'] = settings['network_lr'].value
    by_adamw['paramwise_cfg']['custom_keys']['neck'] = dict(lr_mult=10)  # it is new
    return {
        'model.backbone': dict(**start.backbone, _delete_=True,
                               init_cfg=dict(type='Pretrained', checkpoint=weights)),
        'model.neck.in_channels': channels,
        'model.neck.hid_channels': max(256, channels),
        'model.neck.with_avg_pool': is_map,
        'optim_wrapper.row_optimizer': config.optim_wrapper.to_dict()['optimizer'],
        'optim_wrapper.optimizer': by_adamw['optimizer'],
        'optim_wrapper.paramwise_cfg': by_adamw['paramwise_cfg'],
        'custom_hooks': [*config.custom_hooks, dict(type='CheckBackboneHook'), dict(type='ContrastivePriorHook')],
    }


def _weights(out: Path) -> str:
    """The file of what training goes on from."""
    return os.path.abspath(out / START)


def _duration(hours: float) -> str:
    if hours < 1.5:
        return f'{max(1, round(hours * 60))} minutes'
    return f'{hours:.1f} hours' if hours < 48 else f'{hours / 24:.1f} days'
