"""Says once whether training waits for its data."""
import os
from typing import Any, Optional

from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner

from pic_plugin.arguments import check_positive
from pic_plugin.registry import HOOKS
from pic_plugin.sharding import Ranks

from .common import batch_size_per_rank

_SMALL_SHARE = 0.1
_COLOURS = ('ColorJitter', 'RandomGrayscale', 'GaussianBlur')


@HOOKS.register_module()
class DataWaitHook(Hook):
    """Says after some iterations how many images a second there are, and whether loader or step is waited for.

    It goes by what ``IterTimerHook`` logs, ``data_time`` and ``time``: by the host's clock, without waiting for the
    device, which the host is at most a step ahead of.  While training waits for the loader, the rate is the loader's,
    and the step's is at most what would be left without the wait: the device may work on meanwhile.  The batches that
    the workers had ready before are not counted.

    Args:
        num_iters: the number of iterations.

    Raises:
        ValueError: unless it is a positive whole number.
    """

    priority = 'LOW'  # after IterTimerHook

    def __init__(self, num_iters: int = 50) -> None:
        check_positive(int, num_iters=num_iters)
        self.num_iters = num_iters
        self._times: Optional[list[tuple[float, float]]] = []  # waited, and in all; None once it is said
        self._ranks = Ranks()

    def before_train(self, runner: Runner) -> None:
        """Meet the other ranks."""
        self._ranks = Ranks.of_world()

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: Optional[Any] = None,
                         outputs: Optional[dict] = None) -> None:
        """Note the iteration's times; after enough of them, say what they come to."""
        loader = runner.train_dataloader
        ready = loader.num_workers * (loader.prefetch_factor or 0)
        if self._times is None or batch_idx < min(ready, len(loader) // 2) or \
                'train/time' not in runner.message_hub.log_scalars:  # nobody takes the time
            return
        waited, took = (runner.message_hub.get_scalar(f'train/{name}').current() for name in ('data_time', 'time'))
        self._times.append((waited, took))
        if len(self._times) < self.num_iters:
            return
        waited, took = (sum(times) for times in zip(*self._times))
        self._times = None
        shares = self._ranks.all_gather_object(waited / took)
        num_local = self._ranks.sum_on_this_machine(1)
        if self._ranks.rank == 0:
            rate = batch_size_per_rank(runner) * self._ranks.size * self.num_iters / took
            advice = '' if max(shares) < _SMALL_SHARE else '; ' + _advice(loader, num_local)
            runner.logger.info(_said(rate, max(shares)) + advice)


def _said(rate: float, share: float) -> str:
    text = f'{rate:.0f} images a second; {share:.0%} of the time goes by waiting for data'
    if share < _SMALL_SHARE:
        return f'{text}: the step takes the time, and the loader keeps up'
    return f'{text}: that is what the loader gives, and the step could take up to {rate / max(1 - share, 0.01):.0f}'


def _advice(loader: Any, num_local: int) -> str:
    """What would help, of the ranks of a machine and its cores."""
    cores, workers = len(os.sched_getaffinity(0)), loader.num_workers * num_local
    if workers < cores:
        return (f'set train_dataloader.num_workers={cores // num_local}: this machine has {cores} cores, and {workers} '
                'workers for all of its ranks')
    pipeline = repr(getattr(loader.dataset, 'pipeline', ''))
    on_cpu = get_device() != 'cpu' and any(name in pipeline for name in _COLOURS)
    return (f'all {cores} cores load images ({workers} workers): pack them with tools/pack_images.py --short-side 512 '
            '--quality 85' + (', and have the device change colours, as configs/_base_/imagenet_instances.py does'
                              if on_cpu else ''))
