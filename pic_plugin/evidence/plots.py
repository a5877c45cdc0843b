"""Pictures of the tables."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')
import numpy as np
from matplotlib import pyplot as plt

from .runs import PROBES
from .tables import Results, Table, accuracies


def plot(table: Table, results: Results, path: Path) -> bool:
    """Write a PNG of what the table says is to be plotted; returns whether there is anything to see."""
    draw = _draw_accuracies if table.x else _draw_losses if table.losses else _draw_measured if table.measured else None
    if draw is None or not any((row.config, 0) in results for row in table.rows):
        return False
    names = list(table.measured) if table.measured else ['loss'] if table.losses else list(PROBES)
    figure, axes = plt.subplots(1, len(names), figsize=(5.5 * len(names), 3.6), layout='constrained', squeeze=False)
    for ax, name in zip(axes[0], names):
        draw(ax, table, results, name)
        ax.grid(alpha=0.3)
    axes[0][0].legend()
    figure.savefig(path, dpi=90, metadata={'Software': None})
    plt.close(figure)
    return True


def _draw_accuracies(ax: Any, table: Table, results: Results, probe: str) -> None:
    for curve in dict.fromkeys(row.curve for row in table.rows):
        points = [(row.x, accuracies(results, row.config, table.seeds, probe)) for row in table.rows
                  if row.curve == curve]
        there = [(x, values) for x, values in points if values]
        ax.errorbar([x for x, _ in there], [np.mean(values) for _, values in there],
                    [np.std(values) for _, values in there], marker='o', markersize=4, capsize=3, label=curve)
    ax.set(xscale='log', xlabel=table.x, ylabel=f'{probe} accuracy (%)')
    ticks = sorted({row.x for row in table.rows if row.x})
    ax.set_xticks(ticks, [f'{tick:,g}' for tick in ticks])
    ax.minorticks_off()


def _draw_losses(ax: Any, table: Table, results: Results, name: str) -> None:
    for row, losses in _per_row(table, results, 'losses'):
        mean = np.mean(losses, axis=0)
        ax.plot((np.arange(len(mean)) + 0.5) / len(mean), mean, label=row)
    ax.set(xlabel='share of the training', ylabel=name)


def _draw_measured(ax: Any, table: Table, results: Results, name: str) -> None:
    for row, measured in _per_row(table, results, name):
        keys, losses, _ = np.array(measured[0]).T
        ax.plot(keys, losses, marker='o', markersize=3, label=row)
    if name == 'loss by distance':
        ax.set(xscale='log', xlabel='samples since the last visit', ylabel='loss')
    else:
        ax.set(xlabel='place in the epoch', ylabel='loss')


def _per_row(table: Table, results: Results, name: str) -> list[tuple[str, Sequence[Any]]]:
    """Of each row that was run: its label, and what was measured with each seed."""
    rows = [(row.label, [results[row.config, seed][name] for seed in range(table.seeds)
                         if (row.config, seed) in results]) for row in table.rows]
    return [(label, values) for label, values in rows if values]
