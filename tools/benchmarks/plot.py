"""Draw the results of the benchmarks: a picture for each JSON file."""
import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

Rows = list[dict[str, Any]]


def lines(axes: Axes, rows: Rows, x: str, y: str, by: str) -> None:
    """A line of y over x for each value of ``by``, on logarithmic axes."""
    for value in dict.fromkeys(row[by] for row in rows):
        points = [(row[x], row[y]) for row in rows if row[by] == value and row[y] is not None]
        axes.loglog(*zip(*points), 'o-', label=f'{value}')
    axes.set(xlabel=x, ylabel=y)
    axes.legend(title=by, fontsize='small')
    axes.grid(alpha=0.3)


def head_step(axes: list[Axes], rows: Rows) -> None:
    """Time and memory against N, at the largest batch."""
    rows = [row for row in rows if row['B'] == max(row['B'] for row in rows) and row['seconds'] is not None]
    for ax, y in zip(axes, ('seconds', 'peak MB')):
        lines(ax, rows, 'N', y, 'step')
        ax.set_title(f'one step of the head, B = {rows[0]["B"]}')


def scaling(axes: list[Axes], rows: Rows) -> None:
    """Time and memory against N, from zero, so that a flat line looks flat."""
    for ax, y in zip(axes, ('seconds', 'resident MB')):
        lines(ax, rows, 'N', y, 'visits')
        ax.set_yscale('linear')
        ax.set_ylim(0, 1.5 * max(row[y] for row in rows))
        ax.set_title('table on disk')


def communication(axes: list[Axes], rows: Rows) -> None:
    """Bytes per step and rank against the number of ranks."""
    first = [row for row in rows if (row['K'], row['N']) == (rows[0]['K'], rows[0]['N'])]
    for name in ('total', 'loopback per rank', 'DDP, K x D', 'DDP, N x D'):
        points = [(row['ranks'], row[name]) for row in first if row[name]]
        axes[0].semilogy(*zip(*points), 'o-', label=name)
    axes[0].set(xlabel='ranks', ylabel='bytes per step and rank')
    axes[0].legend(fontsize='small')
    axes[1].remove()


def training_step(axes: list[Axes], rows: Rows) -> None:
    """Seconds per step and per view."""
    for ax, y in zip(axes, ('seconds', 'seconds per view')):
        shown = [row for row in rows if row[y] is not None]
        ax.barh([row['step'] for row in shown], [row[y] for row in shown])
        ax.invert_yaxis()
        ax.set_xlabel(y)


def catch_up(axes: list[Axes], rows: Rows) -> None:
    """Error and cost against the gap."""
    errors = [name for name in rows[0] if 'error' in name]
    costs = [name for name in rows[0] if 'us per row' in name]
    for ax, names, label in zip(axes, (errors, costs), ('relative error', 'us per row')):
        for name in names:
            points = [(row['missed steps'], row[name]) for row in rows if row[name]]
            ax.loglog(*zip(*points), 'o-', label=name)
        ax.set(xlabel='missed steps', ylabel=label)
        ax.legend(fontsize='small')
        ax.grid(alpha=0.3)


def hybrid_parallel(axes: list[Axes], rows: Rows) -> None:
    """Time and memory per rank against the number of classes: a colour for each number of ranks."""
    numbers = sorted({row['ranks'] for row in rows})
    for ax, y in zip(axes, ('seconds', 'peak MB per rank')):
        for kind, style in (('replicated', 'o--'), ('sharded', 'o-')):
            for i, ranks in enumerate(numbers):
                points = [(row['N'], row[y]) for row in rows if (row['rows'], row['ranks']) == (kind, ranks)]
                ax.loglog(*zip(*points), style, color=f'C{i}', label=f'{kind}, {ranks}')
        ax.set(xlabel='N', ylabel=y)
        ax.grid(alpha=0.3)
    axes[1].legend(title='rows, ranks', fontsize='small', loc='center left', bbox_to_anchor=(1, 0.5))


def hardest_classes(axes: list[Axes], rows: Rows) -> None:
    """Time against N, in all and per row."""
    for ax, y in zip(axes, ('seconds', 'microseconds per row')):
        ax.loglog([row['N'] for row in rows], [row[y] for row in rows], 'o-')
        ax.set(xlabel='N', ylabel=y)
        ax.grid(alpha=0.3)


PICTURES: dict[str, Callable[[list[Axes], Rows], None]] = {
    function.__name__: function for function in (head_step, scaling, communication, training_step, catch_up,
                                                 hybrid_parallel, hardest_classes)
}


def main() -> None:
    """One picture for each file that is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path, help='with the JSON files')
    folder = parser.parse_args().folder
    for name, draw in PICTURES.items():
        path = folder / f'{name}.json'
        if path.exists():
            figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout='constrained')
            draw(list(axes), json.loads(path.read_text())['rows'])
            figure.savefig(path.with_suffix('.png'), dpi=110)
            plt.close(figure)
            print(path.with_suffix('.png'))


if __name__ == '__main__':
    main()
