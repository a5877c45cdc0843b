"""Rows that were away: what it costs to catch them up, and how exact that is, by the number of steps they missed."""
import math
import sys
from typing import Any

import torch
from measure import medians, parse_args, report, seconds_of
from torch import Tensor

from pic_plugin.functional.weight_correction import StepLog, correct_, transition

_LR, _MOMENTUM, _WEIGHT_DECAY = 0.06, 0.9, 1e-4
_DRIFT = 0.01


def schedule(num_steps: int) -> Tensor:
    """``[T, 3]`` float64: learning rate (a cosine's half wave down to 0), momentum and weight decay of each step."""
    lr = torch.arange(num_steps, dtype=torch.float64).mul_(math.pi / num_steps).cos_().add_(1).mul_(_LR / 2)
    return torch.stack([lr, torch.full_like(lr, _MOMENTUM), torch.full_like(lr, _WEIGHT_DECAY)], 1)


def exact(steps: Tensor) -> Tensor:
    """``[2, 2]``, what ``steps[g, 3]`` do to (w, u): one after the other, in float64, to two basis vectors."""
    columns = []
    for w, u in ((1.0, 0.0), (0.0, 1.0)):
        for lr, momentum, weight_decay in steps.tolist():
            u = momentum * u + weight_decay * w
            w -= lr * u
        columns.append((w, u))
    return torch.tensor(columns, dtype=torch.float64).T


def one_by_one(rows: Tensor, steps: list[list[float]]) -> None:
    """All rows ``[2, R, D]`` (weight, momentum) through ``steps``, in place."""
    weight, velocity = rows
    for lr, momentum, weight_decay in steps:
        velocity.mul_(momentum).add_(weight, alpha=weight_decay)
        weight.add_(velocity, alpha=-lr)


def times(log: StepLog, clock: Tensor, steps: Tensor, rows: Tensor, args: Any) -> dict[str, float]:
    """Seconds of catching all rows up: ours, and one by one, where the first steps stand for all if they are many."""
    timed = steps[:args.steps_timed].tolist()

    def ours() -> float:
        copy = rows.clone()
        return seconds_of(lambda: correct_(copy[0], copy[1], log.product(clock)))

    def stepping() -> float:
        copy = rows.clone()
        return seconds_of(lambda: one_by_one(copy, timed))

    seconds = medians({'ours': ours, 'one by one': stepping}, args.repeats)
    seconds['one by one'] *= len(steps) / len(timed)
    return seconds


def measure(gap: int, steps: Tensor, args: Any) -> dict[str, Any]:
    """Rows that missed the ``gap`` steps in the middle of the schedule."""
    start = (len(steps) - gap) // 2
    log = StepLog()
    log.load_state_dict({'steps': steps[:start + gap]})
    missed = steps[start:start + gap]
    clock = torch.full((args.rows, ), start)
    rows = torch.randn(2, args.rows, args.channels, generator=torch.Generator().manual_seed(0))
    seconds = times(log, clock, missed, rows, args)

    def apply(matrix: Tensor) -> Tensor:
        return torch.einsum('ij,jrd->ird', matrix, rows.double())

    expected = apply(exact(missed))

    def error(got: Tensor) -> float:
        return float(((got - expected).norm(dim=(1, 2)) / expected.norm(dim=(1, 2))).max())

    def ours(dtype: torch.dtype) -> float:
        copy = rows.to(dtype, copy=True)
        correct_(copy[0], copy[1], log.product(clock))
        return error(copy)

    def paper(step: Tensor) -> float:
        return error(apply(torch.linalg.matrix_power(transition(*step), gap)))

    micro = {name: each * 1e6 / args.rows for name, each in seconds.items()}
    return {
        'missed steps': gap,
        'ours, us per row': micro['ours'],
        'one by one, us per row': micro['one by one'],
        'of which timed, steps': min(gap, args.steps_timed),
        'one by one / ours': micro['one by one'] / micro['ours'],
        'error, float64 rows': ours(torch.float64),
        'error, float32 rows': ours(torch.float32),
        'error of Eq. 3, first rate': paper(missed[0]),
        'error of Eq. 3, last rate': paper(missed[-1]),
    }


def main() -> None:
    """Measure each gap, and report."""
    args = parse_args(str(__doc__), gaps=[1, 10, 100, 1000, 3000, 10**4, 2 * 10**4, 10**5, 10**6], steps=10**6,
                      rows=512, channels=128, steps_timed=1000, repeats=5)
    torch.set_num_threads(1)  # tensors this small gain nothing from more, and would wait for them
    steps = schedule(args.steps)
    rows = []
    for gap in sorted(args.gaps):
        rows.append(measure(gap, steps, args))
        print(f'{gap} missed steps: {rows[-1]["ours, us per row"]:.3g} us per row', file=sys.stderr)
    summary: dict[str, Any] = {
        f'largest error, {dtype} rows': max(row[f'error, {dtype} rows'] for row in rows)
        for dtype in ('float64', 'float32')
    }
    for rate in ('first', 'last'):
        drifted = (row['missed steps'] for row in rows if row[f'error of Eq. 3, {rate} rate'] > _DRIFT)
        summary[f'fewest missed steps where Eq. 3 with the {rate} rate is off by more than 1 %'] = next(drifted, None)
    report(args.out, 'catch_up', rows, summary)


if __name__ == '__main__':
    main()
