"""Prints each scenario's waits of the host, and kernels, per iteration: ``python -m tests.pretend_gpu.report``."""
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from pic_plugin.engine.hooks.common import instance_head
from tests.tiny import write_images

from . import device
from .training import NUM_IMAGES, NUM_ITERS, RUNS, config_of, pretending, train


@HOOKS.register_module(force=True)
class HeadLogHook(Hook):
    """Counts the kernels of the head, by what it does."""

    def before_train(self, runner: Runner) -> None:
        self.kernels: Counter = Counter()
        head = instance_head(runner)
        head.activate, head.loss = self._counted('activate', head.activate), self._counted('forward', head.loss)

    def _counted(self, name: str, function: Callable) -> Callable:

        def call(first: Any, *args: Any, **kwargs: Any) -> Any:
            self._start(name)
            out = function(first, *args, **kwargs)
            self._end(name)
            if name == 'forward':
                out.register_hook(lambda _: self._start('backward'))
                first.register_hook(lambda _: self._end('backward'))
            return out

        return call

    def _start(self, name: str) -> None:
        self.kernels[name] -= device.num_kernels()

    def _end(self, name: str) -> None:
        self.kernels[name] += device.num_kernels()


def report(scenario: str, folder: Path) -> str:
    """Of the iteration with the most waits."""
    cfg = config_of(scenario, folder / 'images', folder / 'run')
    cfg.custom_hooks.append(dict(type='HeadLogHook'))
    trained = train(cfg, device.NAME)
    head = next(hook for hook in trained.runner.hooks if isinstance(hook, HeadLogHook)).kernels
    waits, kernels = max(trained.iterations, key=lambda log: len(log[0]))
    return '\n'.join([
        f'{sum(not wait.kind.endswith("thread") for wait in waits)} waits and {sum(kernels.values())} kernels in an '
        'iteration; of the head ' +
        ', '.join(f'{count / (2 * NUM_ITERS):.0f} {name}' for name, count in head.items()),
        *(f'  {count} x {wait}' for wait, count in Counter(map(str, waits)).items()),
        '  kernels: ' + ', '.join(f'{name[6:]} {count}' for name, count in kernels.most_common())])


def main() -> None:
    for scenario, num_ranks in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            write_images(Path(folder, 'images'), NUM_IMAGES)
            text = pretending(report, scenario, Path(folder), num_ranks=num_ranks)[0]
            print(f'{scenario}, {num_ranks} rank(s): {text}', flush=True)


if __name__ == '__main__':
    main()
