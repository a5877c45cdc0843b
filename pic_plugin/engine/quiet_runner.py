"""mmengine's Runner, which says on the console what a person reads, and all else in the log file."""
import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Optional, Union

from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from pic_plugin.progress import silence_stderr

from .summary import summary

_SPEAKERS = 'pic_plugin.', 'mmengine.runner.runner'  # who may speak before training starts
# what mmengine says of itself in each run, with which a user can do nothing
_OF_MMENGINE_ITSELF = ('"FileClient" will be deprecated', '"HardDiskBackend" is the alias',
                       'Distributed training is not used')


class ConfigKeepingRunner(Runner):
    """mmengine's ``Runner``, which leaves a config that lies in the work directory as its author wrote it."""

    def dump_config(self) -> None:
        """Write the config into the work directory, unless it comes from there."""
        if not self.cfg.filename or Path(self.cfg.filename).resolve().parent != Path(self.work_dir).resolve():
            super().dump_config()


class QuietRunner(ConfigKeepingRunner):
    """mmengine's ``Runner``; until training starts, the console shows warnings, errors, and what is of this training.

    The host's description of the machine, the config, the hooks and how each parameter is initialised, hundreds of
    lines, go to the log file only, which has all.  Before the first iteration stands :func:`.summary`.
    """

    def build_logger(self, log_level: Union[int, str] = 'INFO', log_file: Optional[str] = None,
                     **kwargs: Any) -> MMLogger:
        """The logger, with a console that is quiet."""
        logger = super().build_logger(log_level, log_file, **kwargs)
        for handler in _consoles(logger):
            handler.addFilter(_of_this_training)
        return logger

    @staticmethod
    def build_dataloader(*args: Any, **kwargs: Any) -> DataLoader:
        """Build the loader; decoders in its workers say nothing of strange headers, a line an image without a name.

        What a worker raises is shown as ever.
        """
        loader = Runner.build_dataloader(*args, **kwargs)
        loader.worker_init_fn = partial(_start_quietly, loader.worker_init_fn)
        return loader

    def register_hooks(self, *args: Any, **kwargs: Any) -> None:
        """The hooks, and one that says that training starts."""
        super().register_hooks(*args, **kwargs)
        self.register_hook(_StartHook())


class _StartHook(Hook):
    """Says what will be trained, and lets the host speak."""

    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """When all else is ready."""
        for line in summary(runner):
            runner.logger.info(line)
        self._end_quiet(runner)

    def before_val(self, runner: Runner) -> None:
        """When the runner validates without training."""
        self._end_quiet(runner)

    def before_test(self, runner: Runner) -> None:
        """When it tests."""
        self._end_quiet(runner)

    def _end_quiet(self, runner: Runner) -> None:
        for handler in _consoles(runner.logger):
            handler.removeFilter(_of_this_training)


def _start_quietly(start: Optional[Callable[[int], None]], worker: int) -> None:
    silence_stderr()
    if start is not None:
        start(worker)


def _consoles(logger: MMLogger) -> list[logging.Handler]:
    return [handler for handler in logger.handlers if type(handler) is logging.StreamHandler]


def _of_this_training(record: logging.LogRecord) -> bool:
    """Whether a line is for the console: the host's are for the file, but those of few words from its Runner.

    These are what was resumed or loaded, and how the learning rate is scaled.
    """
    if record.getMessage().startswith(_OF_MMENGINE_ITSELF):
        return False
    if record.levelno > logging.INFO:
        return True
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals['__name__'].startswith(('logging', 'mmengine.logging')):
        frame = frame.f_back  # who has called the logger: records know no further than print_log
    return frame.f_globals['__name__'].startswith(_SPEAKERS) and '\n' not in record.getMessage()
