"""Time and memory of the head's whole step: ours, the dense formula, random negatives, and what it costs at least."""
import statistics
import sys
from collections.abc import Callable
from typing import Any

import torch
from heads import ByHand, Dense, Head, Ours, RandomNegatives, sliding_window
from measure import Variant, machine, medians, parse_args, report

YARDSTICK = 'K rows by hand'
_WARM = 1
_CALLS = 5  # of a variant when it is its turn; the dense one, which takes seconds, one


class Subject:
    """A head with the features and ids of its steps, in the process that is measured."""

    def __init__(self, build: Callable[..., Head], num_instances: int, num_channels: int, args: tuple) -> None:
        torch.set_num_threads(machine()['cores'])
        self.head = build(*args)
        self.num_instances, self.num_channels = num_instances, num_channels

    def use(self, batch_size: int, num_steps: int, start: int) -> None:
        """Prepare the inputs of steps that are to come."""
        self.features = torch.randn(batch_size, self.num_channels)
        ids = sliding_window(self.num_instances, start, (num_steps + 1) * batch_size)
        self.batches = iter(zip(ids.split(batch_size), ids.split(batch_size)[1:]))

    def step(self) -> float:
        """One step; the loss."""
        ids, upcoming = next(self.batches)
        return self.head.step(self.features.clone(), ids, upcoming)

    def memory(self) -> int:
        """The peak."""
        return self.head.memory()


def variants(num_instances: int, args: Any) -> dict[str, tuple[int, Callable[..., Head], tuple]]:
    """How many bytes each needs, about, and how it is built."""
    rows, active = 4 * num_instances * args.channels, 4 * args.negatives * args.channels
    logits = 4 * max(args.batch_sizes)
    shape = num_instances, args.channels
    return {
        YARDSTICK: (4 * active + logits * args.negatives, ByHand, (args.channels, args.negatives)),
        'ours, table on disk': (4 * active + logits * args.negatives, Ours, (*shape, args.negatives, 'disk', True)),
        'ours, table in memory': (2 * rows + 4 * active, Ours, (*shape, args.negatives, 'memory', True)),
        'random negatives': (2 * rows + 8 * active, RandomNegatives, (*shape, args.negatives)),
        'dense': (7 * rows + 3 * logits * num_instances, Dense, shape),
    }


def groups(num_instances: int, args: Any) -> tuple[list[list[str]], dict[str, int]]:
    """Which variants are measured side by side, and what those need that this machine has no memory for."""
    budget = 0.8e9 * machine()['memory_gb']
    packed: list[list[str]] = [[]]
    room, too_large = budget, {}
    for name, (num_bytes, *_) in variants(num_instances, args).items():
        if num_bytes > budget:
            too_large[name] = num_bytes
            continue
        if num_bytes > room:
            packed.append([YARDSTICK])
            room = budget
        packed[-1].append(name)
        room -= num_bytes
    return packed, too_large


def measure(names: list[str], num_instances: int, args: Any) -> list[dict[str, Any]]:
    """Variants side by side."""
    shape = num_instances, args.channels
    built = variants(num_instances, args)
    running = {name: Variant(Subject, built[name][1], *shape, built[name][2]) for name in names}
    rows = []
    start = args.negatives
    for batch_size in args.batch_sizes:
        num_steps = _CALLS * (args.repeats + _WARM)
        for variant in running.values():
            variant.call('use', batch_size, num_steps, start)
        start += num_steps * batch_size

        def turn(name: str) -> Callable[[], float]:
            calls = 1 if name == 'dense' else _CALLS
            return lambda: statistics.median(running[name].call('step')[0] for _ in range(calls))

        seconds = medians({name: turn(name) for name in names}, args.repeats, _WARM)
        for name in names:
            rows.append({'N': num_instances, 'B': batch_size, 'step': name, 'seconds': seconds[name],
                         'x K rows by hand': seconds[name] / seconds[YARDSTICK],
                         'peak MB': running[name].call('memory')[1] / 1e6})
            print(f'N = {num_instances}, B = {batch_size}, {name}: {seconds[name]:.4f} s', file=sys.stderr)
    for variant in running.values():
        variant.close()
    return rows


def main() -> None:
    """Measure, compare with the dense step, and report."""
    args = parse_args(str(__doc__), num_instances=[65536, 1281167, 10**7], batch_sizes=[64, 512], channels=128,
                      negatives=65536, repeats=3)
    rows = []
    for num_instances in args.num_instances:
        packed, too_large = groups(num_instances, args)
        of_size = [row for names in packed for row in measure(names, num_instances, args)]
        for batch_size in args.batch_sizes:
            of_batch = [row for row in of_size if row['B'] == batch_size]
            dense = next((row for row in of_batch if row['step'] == 'dense'), None)
            for row in of_batch:
                row['faster than dense'] = dense and dense['seconds'] / row['seconds']
                row['dense memory / this'] = dense and dense['peak MB'] / row['peak MB']
            for name, num_bytes in too_large.items():
                of_batch.append({**dict.fromkeys(of_batch[0]), 'N': num_instances, 'B': batch_size,
                                 'step': f'{name} (does not fit: about {num_bytes / 1e9:.0f} GB)'})
            rows += of_batch
    report(args.out, 'head_step', rows, {})


if __name__ == '__main__':
    main()
