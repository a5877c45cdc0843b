"""Schedules that belong to the images: what a checkpoint says of them, for a run with other batches or more epochs.

mmengine's schedulers count iterations and load all that they know from a checkpoint: a run that is resumed with another
batch size, number of ranks or ``max_epochs`` would go on with the old run's numbers.
"""
import warnings
from collections.abc import Sequence
from typing import Any, Optional

from mmengine.optim import _ParamScheduler
from mmengine.runner import EpochBasedTrainLoop, Runner

from pic_plugin.datasets import SlidingWindowSampler

# what changes in a scheduler as it goes on (the last three: ReduceOnPlateau's); all else is which schedule it is
_PROGRESS = ('last_step', '_global_step', '_last_value', 'best', 'num_bad_epochs', 'cooldown_counter')


def progress(runner: Runner, epoch: int) -> dict[str, Any]:
    """What a checkpoint after ``epoch`` epochs says of the images that were trained on."""
    sampler = runner.train_dataloader.sampler
    position = sampler.start_of(epoch) if isinstance(sampler, SlidingWindowSampler) else None
    return {'images_per_iter': _images_per_iter(runner), 'iters_per_epoch': len(runner.train_dataloader),
            'max_iters': runner.max_iters, 'position': position, 'step': runner.optim_wrapper.step_under_way}


def resume_schedule(runner: Runner, checkpoint: dict[str, Any], saved: Optional[dict[str, Any]]) -> None:
    """Turn a checkpoint, before mmengine takes it, into that of a run with this one's batches, ranks and schedule.

    The epochs stay, iterations are counted anew, and each rate becomes what the config's schedule has at that epoch: to
    the bit that of a run which was never interrupted.  Where nothing has changed the checkpoint stays as it is.

    Args:
        runner: with its loaders, optimizer and schedulers as they are before the first iteration.
        checkpoint: as :meth:`mmengine.runner.Runner.resume` is to find it; changed in place.
        saved: what :func:`progress` gave.

    Raises:
        ValueError: if something has changed that cannot be converted: the images of an iteration while schedules or the
            loop go by iterations, or anything while a schedule depends on what was measured; or if nothing was saved.
    """
    if saved is None:
        raise ValueError('the checkpoint does not say how many images an iteration had, as those of older versions; '
                         'start from its weights: set load_from without resume')
    meta, length = checkpoint['meta'], len(runner.train_dataloader)
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    schedulers = runner.param_schedulers or []
    if saved['images_per_iter'] != _images_per_iter(runner) or saved['iters_per_epoch'] != length:
        _check_goes_by_epochs(runner, by_epoch, saved)
    sampler = runner.train_dataloader.sampler
    if by_epoch and isinstance(sampler, SlidingWindowSampler) and saved['position'] is not None:
        sampler.resume_at(meta['epoch'], saved['position'])
    iters = meta['epoch'] * length if by_epoch else meta['iter']
    _warn_of_early_end(runner, schedulers, saved)
    now = [_schedule(scheduler.state_dict()) for scheduler in schedulers]
    if iters == meta['iter'] and now == [_schedule(state) for state in checkpoint.get('param_schedulers') or []]:
        return
    if any(getattr(scheduler, 'need_val_args', False) for scheduler in schedulers):
        raise ValueError('a schedule that depends on what was measured, such as ReduceOnPlateau, cannot be resumed '
                         'with other settings, batches or ranks; resume with those that training started with')
    before = _rates(checkpoint['optimizer']['param_groups']) if 'optimizer' in checkpoint else 'not saved'
    _replay(schedulers, iters, length if by_epoch else None)
    checkpoint['param_schedulers'] = [scheduler.state_dict() for scheduler in schedulers]
    groups = runner.optim_wrapper.param_groups
    names = {'lr', *(scheduler.param_name for scheduler in schedulers)}
    names.update({f'initial_{name}' for name in names})
    for group, old in zip(groups, checkpoint.get('optimizer', {}).get('param_groups', [])):
        old.update({name: group[name] for name in names if name in group})
    runner.logger.info(f'The schedule is now the config\'s, as it is after {meta["epoch"]} epochs: iteration '
                       f'{meta["iter"]}, of {saved["iters_per_epoch"]} an epoch, becomes {iters}, of {length}; the '
                       f'rate, {before} in the checkpoint, becomes {_rates(groups)}')
    meta['iter'] = iters


def resume_step(runner: Runner, saved: dict[str, Any]) -> bool:
    """Go on with the optimizer step that a checkpoint fell into; whether it did, so that gradients wait.

    Args:
        runner: whose training starts.
        saved: what :func:`progress` gave.

    Raises:
        ValueError: if steps have another number of images now, or iterations do not come to as many as were made.
    """
    (made, of), then, now = saved['step'], saved['images_per_iter'], _images_per_iter(runner)
    if not made:
        return False
    runner.optim_wrapper.continue_step(made * then // now)
    made_now, of_now = runner.optim_wrapper.step_under_way
    if (made_now * now, of_now * now) != (made * then, of * then):
        raise ValueError(f'the checkpoint fell within an optimizer step, after {made * then} of its {of * then} '
                         f'images, which iterations of {now} images and steps of {of_now * now} cannot go on with: '
                         'resume with the accumulative_counts, batch size, number of ranks and length that it was '
                         'written with, or from a checkpoint between two steps')
    return True


def _images_per_iter(runner: Runner) -> int:
    loader = runner.train_dataloader
    return (loader.batch_size or loader.batch_sampler.batch_size) * runner.world_size


def _check_goes_by_epochs(runner: Runner, by_epoch: bool, saved: dict[str, Any]) -> None:
    change = (f'{saved["images_per_iter"]} images an iteration, {saved["iters_per_epoch"]} iterations an epoch, to '
              f'{_images_per_iter(runner)} and {len(runner.train_dataloader)}')
    way_out = 'resume with the batch size and number of ranks that training started with'
    if not by_epoch:
        raise ValueError(f'a run that goes by iterations cannot be resumed with other batches, got a change from '
                         f'{change}: {way_out}')
    configs = runner.cfg.get('param_scheduler') or []
    for config in [configs] if isinstance(configs, dict) else configs:
        if not config.get('by_epoch', True):
            raise ValueError(f'param_scheduler {config["type"]} goes by iterations, which cannot be resumed with '
                             f'other batches, got a change from {change}: {way_out}, or give it in epochs, with '
                             'by_epoch=True and convert_to_iter_based=True')


def _warn_of_early_end(runner: Runner, schedulers: Sequence[_ParamScheduler], saved: dict[str, Any]) -> None:
    length = len(runner.train_dataloader)
    end, last = runner.max_iters / length, saved['max_iters'] / saved['iters_per_epoch']
    scheduled = max((scheduler.end / (1 if scheduler.by_epoch else length) for scheduler in schedulers), default=end)
    if scheduled < end > last:
        runner.logger.warning(f'training goes on to epoch {end:g}, and the schedule ends at {scheduled:g}: the rate '
                              'stays as it is there; set the end of param_scheduler as well')


def _schedule(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if name not in _PROGRESS}


def _replay(schedulers: Sequence[_ParamScheduler], iters: int, iters_per_epoch: Optional[int]) -> None:
    """Step as :class:`mmengine.hooks.ParamSchedulerHook` would have done."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Detected call of `scheduler.step')  # before the optimizer's, as is meant
        for iteration in range(1, iters + 1):
            at_end = iters_per_epoch is not None and iteration % iters_per_epoch == 0
            for by_epoch in (False, True) if at_end else (False, ):
                for scheduler in schedulers:
                    if scheduler.by_epoch == by_epoch:
                        scheduler.step()


def _rates(groups: Sequence[dict[str, Any]]) -> str:
    return ', '.join(f'{rate:.4g}' for rate in sorted({float(group['lr']) for group in groups}))
