"""Loss and kNN accuracy over the epochs."""
import json
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt


def read_scalars(work_dir: Path) -> list[dict]:
    """What mmengine logged in ``work_dir``, over all runs that resumed each other; the later run counts."""
    by_step = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            by_step[entry['step'], 'loss' in entry] = entry
    return [by_step[key] for key in sorted(by_step)]


def plot_curves(work_dir: Path, out: Path) -> None:
    """Write a PNG of the training loss and, where it was measured, the kNN accuracy.

    Raises:
        ValueError: if nothing was logged in ``work_dir``.
    """
    scalars = read_scalars(work_dir)
    losses = [entry for entry in scalars if 'loss' in entry]
    if not losses:
        raise ValueError(f'{work_dir} has no log of a loss in */vis_data/scalars.json')
    iters_per_epoch = losses[-1]['step'] / losses[-1]['epoch']
    figure, axes = plt.subplots(figsize=(8, 4.5), layout='constrained')
    axes.plot([entry['step'] / iters_per_epoch for entry in losses], [entry['loss'] for entry in losses],
              color='tab:blue')
    axes.set_xlabel('epoch')
    axes.set_ylabel('loss', color='tab:blue')
    right = axes.twinx()
    right.set_ylabel('kNN accuracy (%)', color='tab:orange')
    names = sorted({name for entry in scalars for name in entry if name.startswith('knn/')})
    for name, style in zip(names, ('-', '--', ':')):
        measured = [entry for entry in scalars if name in entry]
        right.plot([entry['step'] for entry in measured], [entry[name] for entry in measured], style, marker='o',
                   markersize=3, color='tab:orange', label=name.removeprefix('knn/top1_'))
    if names:
        right.legend(loc='center right')
    axes.set_title(work_dir.resolve().name)
    figure.savefig(out, dpi=120)
    plt.close(figure)
