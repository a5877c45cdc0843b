"""Train a network on folders of images, with settings chosen from them."""
import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

from .settings import BACKBONES, SMALL, Machine, Setting, choose_settings

if TYPE_CHECKING:
    from mmengine.config import Config

    from .trial import Look

Paths = Union[str, Path, Sequence[Union[str, Path]]]

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


class Run(NamedTuple):
    """A training, in its folder."""
    out: Path

    @property
    def config(self) -> Path:
        """All its settings."""
        return self.out / 'config.py'

    @property
    def backbone(self) -> Path:
        """The trained network without heads, a dict of tensors; there once training has ended."""
        return self.out / 'backbone.pth'


def pretrain(data: Paths,
             out: Union[str, Path],
             *,
             visits: Optional[int] = None,
             hours: Optional[float] = None,
             backbone: Optional[str] = None,
             size: Optional[int] = None,
             batch_size: Optional[int] = None,
             seed: int = 0,
             resume: bool = False,
             cpu: bool = False,
             cfg_options: Optional[Mapping[str, Any]] = None) -> Run:
    """Train on all images below ``data``; the settings are written to ``config.py`` in ``out``, and trained from there.

    Args:
        data: a folder of images, or several.
        out: a new folder for config, log, checkpoints and, at the end, ``backbone.pth``.
        visits: how often each image is trained on; 200, or on a CPU as often as an hour allows.
        hours: that training may take, in place of ``visits``.
        backbone: one of ``settings.BACKBONES``.
        size: of the views, in pixels.
        batch_size: over all GPUs.
        seed: of everything random.
        resume: go on with the training that is in ``out``, by the config there.
        cpu: train on the CPU, whether there are GPUs or not.
        cfg_options: what is to be different in the config, by dotted keys.

    Raises:
        ValueError: if ``out`` holds something and ``resume`` is not set, or nothing and it is; if settings are given to
            a training that is resumed; or from :func:`.choose_settings` and :class:`InstanceDataset`.
        ChildProcessError: if the training failed; what it printed says why.
    """
    run = Run(Path(out))
    given = dict(visits=visits, hours=hours, backbone=backbone, size=size, batch_size=batch_size,
                 cfg_options=cfg_options or None)
    if resume:
        if not run.config.is_file():
            raise ValueError(f'there is nothing to resume in {run.out}: it has no config.py; leave out --resume')
        if extra := [name for name, value in given.items() if value is not None]:
            raise ValueError(f'a training is resumed with its own settings, and {", ".join(extra)} cannot be given; '
                             f'to change them, edit {run.config}')
    else:
        if run.out.exists() and (not run.out.is_dir() or any(run.out.iterdir())):
            raise ValueError(f'{run.out} is there already and is not overwritten: add --resume to go on with the '
                             'training in it, or choose another --out')
        text = _config_for(data, run.out, cpu, seed, given)
        run.out.mkdir(parents=True, exist_ok=True)
        partial = run.config.with_suffix('.partial')
        partial.write_text(text)
        partial.rename(run.config)
    _train(run, cpu)
    return run


def _train(run: Run, cpu: bool) -> None:
    """As ``tools/train.py`` does it, by a process for each GPU."""
    import torch

    from .resources import resource
    num_gpus = 0 if cpu else torch.cuda.device_count()
    command = [sys.executable]
    if num_gpus > 1:
        command += ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={num_gpus}']
    command += [str(resource('tools/train.py')), str(run.config), '--work-dir', str(run.out), '--resume']
    if num_gpus > 1:
        command += ['--launcher', 'pytorch']
    if cpu:
        command += ['--cpu']
    print(shlex.join(['python', *command[1:]]), flush=True)
    code = subprocess.run(command, check=False).returncode
    if code:
        raise ChildProcessError(f'training stopped with exit code {code}; the same command with --resume goes on from '
                                f'the last checkpoint in {run.out}')


def _config_for(data: Paths, out: Path, cpu: bool, seed: int, given: dict[str, Any]) -> str:
    import torch
    from mmengine.config import Config
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope

    from pic_plugin import engine, models  # noqa: F401  (registered)
    from pic_plugin.datasets import InstanceDataset
    from pic_plugin.engine.mixed_precision import use_amp

    from .config_text import config_text
    from .resources import resource
    from .trial import look_at, views_per_second

    MMLogger.get_instance('pretrain', log_level='WARNING')
    init_default_scope('mmpretrain')
    roots = [os.path.abspath(root) for root in ([data] if isinstance(data, (str, os.PathLike)) else data)]
    dataset = InstanceDataset(data_root=roots, pipeline=[dict(type='LoadImageFromFile')])
    num_gpus = 0 if cpu else torch.cuda.device_count()
    machine = Machine(num_gpus, torch.cuda.get_device_properties(0).total_memory if num_gpus else 0,
                      len(os.sched_getaffinity(0)))
    look = look_at(dataset)
    options = {name: value for name, value in given.items() if name != 'cfg_options'}

    def config_of(settings: Mapping[str, Setting]) -> Config:
        config, small = (Config.fromfile(str(resource(path))) for path in (_BASE, _SMALL_BASE))
        config.merge_from_dict(_changes(settings, look, machine, roots, config, small))
        if num_gpus:
            use_amp(config, 'auto')
        config.merge_from_dict({'work_dir': str(out), 'randomness.seed': seed, **(given['cfg_options'] or {})})
        return config

    settings = choose_settings(look.images, machine, **options)
    speed = views_per_second(config_of(settings), machine)
    settings = choose_settings(look.images, machine, **options, views_per_second=speed)
    _say(settings, look, out, speed)
    heading = (f'Pre-training on {look.images.number} images, written by pic_plugin.  A complete config: edit it, and '
               f'go on with\npython -m pic_plugin pretrain {shlex.join(roots)} --out {shlex.quote(str(out))} --resume')
    return config_text(config_of(settings).to_dict(), _comments(settings), heading)


def _changes(settings: Mapping[str, Setting], look: 'Look', machine: Machine, roots: Sequence[str], base: 'Config',
             small: 'Config') -> dict[str, Any]:
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
        'train_dataloader.dataset.data_root': list(roots) if len(roots) > 1 else roots[0],
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


def _comments(settings: Mapping[str, Setting]) -> dict[str, str]:
    """What the config says of each chosen number."""
    return {_KEYS[name]: f'{name.replace("_", " ")}: {setting.reason}' for name, setting in settings.items()}


def _say(settings: Mapping[str, Setting], look: 'Look', out: Path, speed: float) -> None:
    """What will be trained, on what, and for how long."""
    images = look.images
    unreadable = f', of which {look.num_unreadable} cannot be read' if look.num_unreadable else ''
    print(f'{images.number} images; {look.num_looked_at} were looked at{unreadable}: '
          f'{"grey" if images.grey else "in colour"}, short side {images.short_side} pixels (median)')
    for name, setting in settings.items():
        print(f'  {name:<20}{setting.value!s:<10}{setting.reason}')
    views = settings['visits'].value * images.number
    print(f'{views} views at some {speed:.0f} a second: {_duration(views / speed)}; config, '
          f'log and checkpoints in {out}', flush=True)


def _duration(seconds: float) -> str:
    if seconds < 5400:
        return f'{max(1, round(seconds / 60))} minutes'
    return f'{seconds / 3600:.1f} hours' if seconds < 172800 else f'{seconds / 86400:.1f} days'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of the command."""
    from .options import ConfigOptions  # imports mmengine
    parser.add_argument('data', nargs='+', help='a folder of images, or several')
    parser.add_argument('--out', required=True, help='a new folder for config, log, checkpoints and backbone.pth')
    length = parser.add_mutually_exclusive_group()
    length.add_argument('--visits', type=int, help='how often each image is trained on; by default 200, or on a CPU as '
                        'often as an hour allows')
    length.add_argument('--hours', type=float, help='that training may take')
    parser.add_argument('--backbone', choices=BACKBONES, help='by default one that suits images and machine')
    parser.add_argument('--size', type=int, help='of the views, in pixels; by default as the images are, up to 224, or '
                        '96 on a CPU')
    parser.add_argument('--batch-size', type=int, help='over all GPUs')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--resume', action='store_true', help='go on with the training in OUT')
    parser.add_argument('--cpu', action='store_true', help='train on the CPU, whether there are GPUs or not')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE',
                        help='what is to be different in the config')


def run(args: argparse.Namespace) -> None:
    """Train."""
    done = pretrain(args.data, args.out, visits=args.visits, hours=args.hours, backbone=args.backbone, size=args.size,
                    batch_size=args.batch_size, seed=args.seed, resume=args.resume, cpu=args.cpu,
                    cfg_options=args.cfg_options)
    print(f'{done.backbone}: the trained network\n'
          f'python -m pic_plugin report {shlex.quote(str(done.out))}    # a page to look at\n'
          f'python -m pic_plugin embed {shlex.join(args.data)} --model {shlex.quote(str(done.out))} '
          '--out embeddings.parquet')
