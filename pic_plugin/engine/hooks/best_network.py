"""Keeps the network that is best by nearest neighbours."""
from pathlib import Path
from typing import Any

from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from .knn_hook import KNNHook


class BestNetworkHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, whose ``save_best`` goes by what :class:`KNNHook` measures.

    Args:
        args: as in :class:`mmengine.hooks.CheckpointHook`.
    """

    def before_train(self, runner: Runner) -> None:
        """Look for the best ones, which mmengine removes for better ones, in this run's folder alone."""
        super().before_train(runner)
        if (best := getattr(self, 'best_ckpt_path', None)) is not None:
            self.best_ckpt_path = str(Path(self.out_dir, Path(best).name))
        for metric, path in getattr(self, 'best_ckpt_path_dict', {}).items():
            self.best_ckpt_path_dict[metric] = path and str(Path(self.out_dir, Path(path).name))

    def after_train_epoch(self, runner: Runner) -> None:
        """Save the best network, and the checkpoint that is due."""
        metrics = {name: value for hook in runner.hooks if isinstance(hook, KNNHook)
                   for name, value in hook.measured.items()}
        if metrics and runner.val_loop is None:
            # with a checkpoint known, mmengine would save another one, rows and all, for what the next one has anyway
            last_ckpt, self.last_ckpt = self.last_ckpt, None  # type: ignore[has-type]
            self._save_best_checkpoint(_AtItsEnd(runner), metrics)
            self.last_ckpt = last_ckpt
        super().after_train_epoch(runner)


class _AtItsEnd:
    """A runner whose epoch is over, as it is when mmengine validates."""

    def __init__(self, runner: Runner) -> None:
        self._runner, self.epoch = runner, runner.epoch + 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)
