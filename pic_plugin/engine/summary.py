"""What is about to be trained, in a few lines."""
from pathlib import Path

import torch
from mmengine.hooks import CheckpointHook
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.optim import Optimizer

from pic_plugin.datasets import SlidingWindowSampler
from pic_plugin.models import CosineInstanceHead

from .hooks.common import batch_size_per_rank, unwrapped_model
from .two_optimizers import TwoOptimizers

_TABLES = {'memory': 'memory', 'disk': 'a file'}


def summary(runner: Runner) -> list[str]:
    """What is trained on, with what, for how long, and where things go; of a runner whose training is about to start.

    Works for any model that mmengine trains.
    """
    return [_data(runner), _model(runner), _steps(runner), _optimizer(runner), _device(runner), _places(runner)]


def _data(runner: Runner) -> str:
    dataset, sampler = runner.train_dataloader.dataset, runner.train_dataloader.sampler
    text = f'data: {len(dataset)} images ({type(dataset).__name__})'
    if isinstance(sampler, SlidingWindowSampler):
        text += f', in windows of {sampler.window_size} that move by {sampler.window_stride}'
    return text


def _model(runner: Runner) -> str:
    model = unwrapped_model(runner)
    head = getattr(model, 'head', None)
    parts = ', '.join(type(part).__name__ for name, part in model.named_children() if name != 'data_preprocessor')
    count = sum(parameter.numel() for name, parameter in model.named_parameters()
                if parameter.requires_grad and not (isinstance(head, CosineInstanceHead) and name == 'head.weight'))
    text = f'model: {type(model).__name__} of {parts}; {count:,} parameters to train'
    if isinstance(head, CosineInstanceHead):
        num_instances = head.allocated.num_instances
        text += f', and a row of {head.weight.shape[1]} for each image; in the softmax are ' + (
            'all rows' if head.num_negatives is None else
            f'the {min(head.num_negatives, num_instances)} visited last, the others in {_TABLES[head.table]}')
    return text


def _steps(runner: Runner) -> str:
    loop, ranks = runner.train_loop, runner.world_size
    batch = f'{batch_size_per_rank(runner)} images' + (f' on each of {ranks} ranks' if ranks > 1 else '')
    text = f'{runner.max_iters} iterations of {batch}'
    if not isinstance(loop, IterBasedTrainLoop):
        text = f'{runner.max_epochs} epochs of {len(runner.train_dataloader)} iterations: {text}'
    if runner.iter:
        text += f'; {runner.iter} are done'
    return f'length: {text}; the time left is the eta of each line below'


def _optimizer(runner: Runner) -> str:
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper):  # several
        return f'optimizer: {type(wrapper).__name__}'
    optimizer, counts = wrapper.optimizer, wrapper._accumulative_counts
    text = (f'{_settings(optimizer.network)}; for the rows {_settings(optimizer.rows)}'
            if isinstance(optimizer, TwoOptimizers) else _settings(optimizer))
    return f'optimizer: {text}' + (f'; a step every {counts} iterations' if counts > 1 else '')


def _settings(optimizer: Optimizer) -> str:
    group = optimizer.param_groups[0]
    settings = ', '.join(f'{name} {value:g}' for name, value in (
        ('learning rate', group.get('initial_lr', group['lr'])), ('momentum', group.get('momentum')),
        ('weight decay', group.get('weight_decay'))) if value is not None)
    return f'{type(optimizer).__name__}, {settings}'


def _device(runner: Runner) -> str:
    parameter = next(unwrapped_model(runner).parameters())
    precision = str(parameter.dtype).removeprefix('torch.')
    if isinstance(runner.optim_wrapper, AmpOptimWrapper):
        half = runner.optim_wrapper.cast_dtype or torch.float16
        precision = f'mixed precision, {str(half).removeprefix("torch.")} and {precision}'
    name = 'CPU' if parameter.device.type == 'cpu' else parameter.device.type
    if parameter.device.type == 'cuda':
        name = torch.cuda.get_device_name(parameter.device)
    ranks = f'{runner.world_size} x ' if runner.world_size > 1 else ''
    return f'device: {ranks}{name}, {precision}'


def _places(runner: Runner) -> str:
    text = f'results: {runner.work_dir}, the full log in {Path(runner.timestamp, f"{runner.timestamp}.log")}'
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.interval > 0:
            text += f', a checkpoint every {hook.interval} {"epochs" if hook.by_epoch else "iterations"}'
    return text
