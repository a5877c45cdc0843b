"""Checks, before a training starts, that it saves and can restore all that it consists of."""
from collections.abc import Collection
from typing import Any

from mmengine.hooks import CheckpointHook, EMAHook, ParamSchedulerHook, SyncBuffersHook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner, ValLoop
from torch import Tensor, nn

from pic_plugin.models.pic import NO_PREDICTIONS, PIC

from .averaged_network import averaging_hooks
from .two_optimizers import TwoOptimizers

_PARTS = ('state_dict', 'meta.epoch', 'meta.iter', 'meta.seed', 'optimizer.state', 'optimizer.param_groups',
          'optimizer.step_log.steps', 'message_hub.log_scalars', 'message_hub.runtime_info',
          'message_hub.resumed_keys', *(f'meta.instance_rows.{name}' for name in (
              'folder', 'num_steps', 'segments', 'num_ranks', 'num_instances', 'fingerprint', 'stream', 'seed',
              'recent', 'slots')))


def check_saving(runner: Runner, wanted: type[CheckpointHook], before: tuple[type, ...]) -> None:
    """Look at the hooks that save.

    Args:
        runner: whose hooks are registered.
        wanted: the kind of hook that saves rows.
        before: kinds of hooks that must run before it, besides mmengine's that change what is saved.

    Raises:
        ValueError: if rows, log or schedule would not be saved as they are, or not be restored.
    """
    hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    for hook in hooks:
        if not isinstance(hook, wanted):
            raise ValueError(f"default_hooks.checkpoint.type must be '{wanted.__name__}', got "
                             f'{type(hook).__name__}: it saves no rows, and a resumed run would start with random '
                             'ones; to train without saving, set default_hooks.checkpoint=None')
    if len(hooks) > 1:
        raise ValueError(f'one {wanted.__name__} was expected, got {len(hooks)}: each would remove checkpoints that '
                         'the other counts on')
    if not hooks:
        if runner._resume:
            raise ValueError(f'resume needs {wanted.__name__}, which restores the rows, and default_hooks.checkpoint '
                             'is None')
        if averaging_hooks(runner):
            raise ValueError(f'EMAHook needs {wanted.__name__}, which keeps the rows out of the averages, and '
                             'default_hooks.checkpoint is None')
        runner.logger.warning('default_hooks.checkpoint is None: nothing of this training is saved')
        return
    hook = hooks[0]
    for option in ('save_optimizer', 'save_param_scheduler'):
        if not getattr(hook, option):
            raise ValueError(f'{option} of {wanted.__name__} must be True, got {getattr(hook, option)}: a run could '
                             'not be resumed')
    if hook.backend_args or hook.file_client_args or '://' in str(hook.out_dir):
        raise ValueError(f'{wanted.__name__} writes to a file system, and takes no backend_args, file_client_args or '
                         f'URL; got out_dir={hook.out_dir}')
    names = [hook.filename_tmpl.format(step) for step in (1, 2)] if '{}' in hook.filename_tmpl else ['', '']
    if names[0] == names[1] or '/' in names[0]:
        raise ValueError(f'filename_tmpl must be the name of a file with one {{}} for the number, got '
                         f'{hook.filename_tmpl!r}')
    late = [type(other).__name__ for other in runner.hooks[runner.hooks.index(hook):]
            if isinstance(other, (ParamSchedulerHook, SyncBuffersHook, EMAHook, *before))]
    if late:
        raise ValueError(f'{wanted.__name__} must run after {", ".join(late)}, which changes what it saves; leave '
                         'their priorities as they are')


def check_when(runner: Runner, hook: CheckpointHook) -> None:
    """Look at the moments when checkpoints are due.

    Raises:
        ValueError: if one falls into an epoch, or none would be due.
    """
    name = type(hook).__name__
    if isinstance(runner.train_loop, EpochBasedTrainLoop) and not hook.by_epoch:
        raise ValueError(f'by_epoch of {name} must be True where training goes by epochs: mmengine resumes those at '
                         'the start of an epoch')
    if isinstance(runner.train_loop, IterBasedTrainLoop) and hook.by_epoch:
        raise ValueError(f'by_epoch of {name} must be False where training goes by iterations: to mmengine those are '
                         'one long epoch, and nothing would be saved before its end')


def check_validation(runner: Runner, model: nn.Module, hook: CheckpointHook, measured: Collection[str]) -> None:
    """Look whether what is to be measured during training can be.

    Args:
        runner: whose loops are built.
        model: without DistributedDataParallel.
        hook: that saves the best.
        measured: what hooks that run before it measure.

    Raises:
        ValueError: if mmengine's validation would ask the model for predictions, and it has none, or if nothing, or not
            the same one, measures all that ``save_best`` names.
    """
    if type(runner.val_loop) is ValLoop and getattr(type(model), 'predict', None) is PIC.predict:
        raise ValueError(NO_PREDICTIONS)
    validated = runner.val_loop is not None
    wrong = [name for name in hook.save_best or () if
             (not measured and not validated if name == 'auto' else (name in measured) == validated)]
    if wrong:
        raise ValueError(f'save_best of {type(hook).__name__} must be among {", ".join(measured) or "nothing"}, which '
                         f'is measured here, got {wrong[0]!r}; measure it by KNNHook in custom_hooks, which must run '
                         "before (its num_neighbors=(20, ) gives 'knn/top1_k20'), or leave save_best out and compare "
                         'checkpoints by tools/benchmark_suite.py')


def check_complete(runner: Runner, checkpoint: dict, path: str, network: dict[str, Tensor]) -> None:
    """Look whether a checkpoint has all that resuming takes.

    Args:
        runner: that resumes.
        checkpoint: what was loaded.
        path: where from.
        network: the state dict of the network.

    Raises:
        ValueError: if a part is missing; it is named.
    """
    averaged = bool(averaging_hooks(runner))
    if 'ema_state_dict' in checkpoint and not averaged:
        raise ValueError(f'{path} was written with EMAHook, and the network in its state_dict is the averaged one: add '
                         'EMAHook to custom_hooks to resume from it; to start from its weights, set load_from without '
                         'resume')
    lacking = [part for part in (*_PARTS, *['ema_state_dict'] * averaged) if not _has(checkpoint, part)]
    if (schedulers := runner.param_schedulers) and len(checkpoint.get('param_schedulers', ())) != len(schedulers):
        lacking.append(f'param_schedulers ({len(checkpoint.get("param_schedulers", ()))} for {len(schedulers)})')
    if not lacking:
        saved = {name.removeprefix('module.'): tensor for name, tensor in checkpoint['state_dict'].items()}
        lacking += [f'state_dict.{name} of shape {tuple(tensor.shape)}' for name, tensor in network.items()
                    if name not in saved or saved[name].shape != tensor.shape]
        lacking += _lacking_momenta(runner.optim_wrapper, checkpoint['optimizer'])
    if lacking:
        more = f' and {len(lacking) - 6} more' if len(lacking) > 6 else ''
        raise ValueError(f'{path} cannot be resumed from, it lacks {", ".join(lacking[:6])}{more}: resume from a '
                         'checkpoint that this training wrote; to start from its weights, set load_from without resume')


def _has(checkpoint: Any, part: str) -> bool:
    for key in part.split('.'):
        if not isinstance(checkpoint, dict) or key not in checkpoint:
            return False
        checkpoint = checkpoint[key]
    return True


def _lacking_momenta(optim_wrapper: OptimWrapper, saved: dict[str, Any]) -> list[str]:
    """Those of parameters but the rows (the only ones without elements yet), which are in a file of their own.

    Where the rows have an optimizer of their own, the network's may keep nothing for a parameter without gradients.
    """
    if isinstance(optim_wrapper.optimizer, TwoOptimizers):
        return []
    parameters = [(parameter, group) for group in optim_wrapper.optimizer.param_groups for parameter in group['params']]
    return [f'optimizer.state.{i}.momentum_buffer' for i, (parameter, group) in enumerate(parameters)
            if group['momentum'] and parameter.numel() and saved['state'].get(i, {}).get('momentum_buffer') is None]
