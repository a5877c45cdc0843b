"""Trainings through mmengine's Runner, on the pretend GPU or on the CPU."""
import functools
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Optional

import mmengine.device.utils
import mmengine.optim.optimizer.amp_optimizer_wrapper
import mmengine.runner.amp
import torch
from mmengine.config import Config
from mmengine.dist import get_world_size, is_distributed
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor
from torch.distributed.fsdp import sharded_grad_scaler
from torch.utils._pytree import tree_map_only

from tests.ranks import PROCESSES, run_ranks
from tests.tiny import tiny_config, trained_state

from . import collectives, device

NUM_IMAGES, NUM_ITERS = 22, 6  # of an epoch, the last one with half a batch

_SMOOTHED = {'model.head.label_smoothing': 0.2, 'model.head.num_hard_classes': 3}
_ALL = {'model.head.num_negatives': None}
_AMP = {'optim_wrapper.type': 'AmpWeightCorrectingOptimWrapper'}
_NECK = {'model.neck': dict(type='NonLinearNeck', in_channels=6, hid_channels=8, out_channels=6, num_layers=2,
                            with_avg_pool=False, norm_cfg=dict(type='BN1d'))}
_FLOAT16 = {**_AMP, 'optim_wrapper.dtype': 'float16',
            'optim_wrapper.loss_scale': dict(init_scale=2.0**24, growth_interval=5)}  # it overflows at first
_TWO = {'optim_wrapper.optimizer': dict(type='AdamW', lr=1e-3, weight_decay=0.05, _delete_=True),
        'optim_wrapper.row_optimizer': dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=1e-2, fused=True),
        'optim_wrapper.clip_grad': dict(max_norm=0.5)}
_CROP = dict(size=10, scale=(0.3, 1.0))
_VIEWS = [
    dict(type='DecodeCropResize', crops=[_CROP, _CROP]),
    dict(type='Augment', augmentations=[
        dict(type='RandomHorizontalFlip', p=0.5),
        dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
        dict(type='RandomGrayscale', p=0.2),
        dict(type='GaussianBlur', sigma=(0.1, 2.0), p=0.5),
        dict(type='RandomAffine', degrees=10, translate=(0.1, 0.1)),
        dict(type='RandomErasing', p=0.5)]),
    dict(type='PackInputs')]
# changes of tests.tiny's config; those without a dot are for config_of
SCENARIOS: dict[str, dict[str, Any]] = {
    'recent': {},
    'on disk': {'model.head.table': 'disk'},
    'all classes': _ALL,
    'smoothed': _SMOOTHED,
    'all classes, smoothed': {**_ALL, **_SMOOTHED},
    'accumulated and clipped': {'optim_wrapper.accumulative_counts': 4, 'optim_wrapper.clip_grad': dict(max_norm=0.5)},
    'foreach': {'optim_wrapper.optimizer.fused': False, 'optim_wrapper.optimizer.foreach': True},
    'plain softmax': {'model.head.cosine': False},
    'margin': {'model.head.margin': 0.35},
    'uniformly smoothed': {'model.head.uniform_smoothing': 0.8},
    'two optimizers': _TWO,
    'two optimizers, float16': {**_TWO, **_FLOAT16},
    'not corrected': {'model.head.weight_correction': False},
    'two views': {'num_views': [2]},
    'multi-crop': {'num_views': [1, 2], 'model.num_large_views': 1},
    'augmented on the device': {
        'train_dataloader.dataset.pipeline': _VIEWS, 'model.data_preprocessor': dict(mean=[127.0] * 3, std=[64.0] * 3),
        'model.backbone.in_channels': 3, 'model.backbone.size': 10},
    'contrastive prior': {**_NECK, 'hook': dict(type='ContrastivePriorHook')},
    'contrastive prior, all classes': {**_NECK, **_ALL, 'hook': dict(type='ContrastivePriorHook')},
    'kNN': {'hook': dict(type='KNNHook', num_neighbors=(1, 5))},
    'bfloat16': {**_AMP, 'optim_wrapper.dtype': 'bfloat16', 'optim_wrapper.loss_scale': dict(enabled=False)},
    'float16': _FLOAT16,
}
RUNS = [*((scenario, 1) for scenario in SCENARIOS), ('recent', 2), ('all classes, smoothed', 2), ('float16', 2),
        ('two optimizers', 2)]


def config_of(scenario: str, images: Path, work_dir: Path) -> Config:
    """The config of a scenario, for two epochs."""
    changes = SCENARIOS[scenario].copy()
    num_views, hook = changes.pop('num_views', None), changes.pop('hook', None)
    cfg = tiny_config(images, work_dir, **{
        'optim_wrapper.optimizer.fused': True, 'train_dataloader.batch_size': 4 // get_world_size(),
        'train_dataloader.pin_memory': True, 'train_cfg.max_epochs': 2, 'default_hooks.logger.interval': NUM_ITERS,
        'log_level': 'ERROR', **changes})
    load, crop, pack = cfg.train_dataloader.dataset.pipeline  # or others, of the same number
    if num_views:
        views = dict(type='MultiView', num_views=num_views, transforms=[[crop]] * len(num_views))
        cfg.train_dataloader.dataset.pipeline = [load, views, pack]
    if hook and hook['type'] == 'KNNHook':
        loader = dict(batch_size=5, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
                      collate_fn=dict(type='default_collate'),
                      dataset=dict(type='CustomDataset', data_root=str(images), pipeline=[load, pack]))
        hook = dict(**hook, bank_dataloader=loader, query_dataloader=loader)
    cfg.custom_hooks += [hook] if hook else []
    if is_distributed():
        cfg.launcher, cfg.model_wrapper_cfg = 'pytorch', dict(type='AveragedByHand')
    return cfg


@HOOKS.register_module(force=True)
class DeviceLogHook(Hook):
    """Cuts the device's log into iterations: each goes from the start of this hook to its next."""

    priority = 'HIGHEST'

    def before_train(self, runner: Runner) -> None:
        self.iterations: dict[int, tuple[list[device.Wait], Counter]] = {}

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[Any] = None) -> None:
        self.iterations[runner.iter - 1] = device.take_log()


@HOOKS.register_module(force=True)
class HandOverHook(Hook):
    """Has views augmented by the data preprocessor on a CPU, too."""

    def before_run(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model.data_preprocessor.augmentations = runner.train_dataloader.dataset.hand_over_augmentations()


class Trained(NamedTuple):
    """What a training ends with."""
    runner: Runner
    tensors: dict[str, Tensor]  # on the CPU
    iterations: list[tuple[list[device.Wait], Counter]]  # waits and kernels of those inside the second epoch


def train(cfg: Config, where: str) -> Trained:
    """Train on device ``where``, 'gpu' or 'cpu'."""
    mmengine.device.utils.DEVICE = where
    cfg.custom_hooks += [dict(type='DeviceLogHook'), *([dict(type='HandOverHook')] if where == 'cpu' else [])]
    runner = Runner.from_cfg(cfg)
    runner.train()
    tensors = trained_state(runner)
    hook = next(hook for hook in runner.hooks if isinstance(hook, DeviceLogHook))
    iterations = [log for i, log in hook.iterations.items() if NUM_ITERS < i < 2 * NUM_ITERS - 1]
    device.synchronize()  # what was overwritten too early is found now
    return Trained(runner, {name: tensor.cpu() for name, tensor in tensors.items()}, iterations)


def _load(load: Callable, *args: Any, map_location: Any = None, **kwargs: Any) -> Any:
    """``torch.load``, which knows no pretend tensors: ``map_location`` puts all tensors on that device."""
    on_device = map_location is not None and torch.device(map_location).type == device.NAME
    out = load(*args, map_location='cpu' if on_device else map_location, **kwargs)
    return tree_map_only(Tensor, lambda x: x.to(device.NAME), out) if on_device else out


def _scaler(scaler: Callable, **kwargs: Any) -> torch.amp.GradScaler:
    return scaler(mmengine.device.get_device(), **kwargs)


def _autocast(dtype: Optional[torch.dtype] = None, **kwargs: Any) -> torch.autocast:
    return torch.autocast(mmengine.device.get_device(), dtype=dtype)


def install() -> None:
    """Make the device part of this process, and known to mmengine, which has a list of devices."""
    device.install()
    mmengine.device.utils.DEVICE = device.NAME
    torch.load = functools.partial(_load, torch.load)
    Config.pretty_text = ''  # for the log, which nobody reads here: a third of a run's time
    mmengine.runner.amp.autocast = _autocast
    amp_wrapper = mmengine.optim.optimizer.amp_optimizer_wrapper
    amp_wrapper.is_cuda_available = lambda: True
    amp_wrapper.GradScaler = functools.partial(_scaler, torch.amp.GradScaler)
    sharded_grad_scaler.ShardedGradScaler = functools.partial(_scaler, sharded_grad_scaler.ShardedGradScaler)


def _call(function: Callable, args: tuple) -> Any:
    torch.set_num_threads(1)
    install()
    return function(*args)


def _call_on_rank(rank: int, num_ranks: int, function: Callable, args: tuple) -> Any:
    collectives.install()
    return _call(function, args)


def pretending(function: Callable, *args: Any, num_ranks: int = 1) -> list[Any]:
    """``function(*args)`` of each of ``num_ranks`` processes, which have pretend GPUs."""
    if num_ranks > 1:
        return run_ranks(_call_on_rank, num_ranks, function, args)
    with ProcessPoolExecutor(1, mp_context=PROCESSES) as pool:
        return [pool.submit(_call, function, args).result()]
