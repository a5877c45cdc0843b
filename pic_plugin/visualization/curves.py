"""A training's curves: loss, kNN accuracy and health, over the epochs."""
import json
import os
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure  # without pyplot, whose backend is the caller's

_PANELS = {  # what is logged beside the loss, by how its names begin
    'kNN accuracy (%)': ('knn/', ),
    'share (%)': ('health/instance_top1', 'health/images_visited'),
    'effective rank': ('health/rank_', ),
    'loss, by samples since the last visit': ('health/loss_', ),
}


def read_scalars(work_dir: Path) -> list[dict]:
    """What mmengine logged in ``work_dir``, over all runs that resumed each other; the later run counts."""
    by_step: dict[tuple[int, bool], dict] = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # the run was killed while it wrote
                continue
            by_step.setdefault((entry['step'], 'loss' in entry), {}).update(entry)
    return [by_step[key] for key in sorted(by_step)]


def plot_curves(work_dir: Path, out: Path) -> None:
    """Write a PNG of the training loss, and a panel of each other kind of number that was logged.

    A file of that name is replaced when the new one is complete.

    Raises:
        ValueError: if nothing was logged in ``work_dir``.
    """
    scalars = read_scalars(work_dir)
    losses = [entry for entry in scalars if 'loss' in entry]
    if not losses:
        raise ValueError(f'{work_dir} has no log of a loss in */vis_data/scalars.json')
    unit = 'epoch' if 'epoch' in losses[-1] else 'step'  # by iterations, mmengine knows no epoch
    iters_per_unit = losses[-1]['step'] / losses[-1][unit]
    panels = {'loss': {'loss': [(entry['step'] / iters_per_unit, entry['loss']) for entry in losses]}}
    measured = [entry for entry in scalars if 'loss' not in entry]
    for title, prefixes in _PANELS.items():
        names = dict.fromkeys(name for entry in measured for name in entry if name.startswith(prefixes))
        if names:
            panels[title] = {name.removeprefix(prefixes[0]).removeprefix('health/') or name.removeprefix('health/'): [
                (entry['step'], entry[name]) for entry in measured if name in entry] for name in names}
    num_columns = min(2, len(panels))
    num_rows = -(-len(panels) // num_columns)
    figure = Figure(figsize=(6 * num_columns, max(4, 3 * num_rows)), layout='constrained')
    grid = figure.subplots(num_rows, num_columns, squeeze=False)
    for axes, (title, lines) in zip(grid.flat, panels.items()):
        _draw(axes, title, lines)
    for axes in grid.flat[len(panels):]:
        axes.axis('off')
    figure.supxlabel('iteration' if unit == 'step' else unit)
    figure.suptitle(work_dir.resolve().name)
    partial = out.with_name(f'.{out.name}.partial')
    figure.savefig(partial, dpi=120, format='png')
    os.replace(partial, out)


def _draw(axes: Axes, title: str, lines: dict[str, list[tuple[float, float]]]) -> None:
    """A panel, with a line of (x, y) for each name; a line of few points shows them."""
    axes.set_title(title)
    for name, points in lines.items():
        axes.plot(*zip(*points), label=name, marker='o' if len(points) < 50 else None, markersize=3)
    if len(lines) > 1:
        axes.legend(fontsize='small')
