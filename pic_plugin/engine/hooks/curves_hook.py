"""Draws the training's curves while it trains."""
import time
from pathlib import Path
from typing import Any, Optional

from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from pic_plugin.registry import HOOKS

_SHARE = 0.01  # of the time, that may go into drawing


@HOOKS.register_module()
class CurvesHook(Hook):
    """Draws ``curves.png`` in the work directory: loss, kNN accuracy and health, of this run and those it resumed.

    It is drawn after each epoch (of a training by iterations, after the iterations of one), unless the last
    drawing took more than a hundredth of the time since, and at the end.  That it cannot be drawn, as matplotlib is
    missing, the disk is full, or the numbers go elsewhere than into ``LocalVisBackend``'s files, is said once.
    """

    priority = 'LOWEST'  # when all is logged

    def before_train(self, runner: Runner) -> None:
        """Nothing is drawn yet."""
        self._due = 0.0  # when the next drawing is
        self._failed = False

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[Any] = None,
                         outputs: Optional[dict] = None) -> None:
        """Draw, in a training by iterations, which mmengine takes for one long epoch."""
        if isinstance(runner.train_loop, IterBasedTrainLoop) and (runner.iter + 1) % len(runner.train_dataloader) == 0:
            self._draw(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Draw."""
        self._draw(runner)

    def after_train(self, runner: Runner) -> None:
        """Draw all."""
        self._draw(runner, last=True)

    def _draw(self, runner: Runner, last: bool = False) -> None:
        start = time.monotonic()
        if runner.rank > 0 or self._failed or (start < self._due and not last):
            return
        try:
            from pic_plugin.visualization import plot_curves  # matplotlib takes a second
            plot_curves(Path(runner.work_dir), Path(runner.work_dir, 'curves.png'))
        except Exception as error:  # for no picture's sake is a training to stop
            if isinstance(error, ValueError) and not last:
                return  # nothing is logged yet
            self._failed = True
            runner.logger.warning(f'{runner.work_dir}/curves.png cannot be drawn, and training goes on without it '
                                  f'({type(error).__name__}: {error}); it takes matplotlib, and '
                                  "dict(type='LocalVisBackend') in visualizer.vis_backends")
        now = time.monotonic()
        self._due = now + (now - start) / _SHARE
