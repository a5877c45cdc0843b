"""Saliency maps over their images, and statistics of how far two networks' maps overlap (PIC, Figures 4 and 5)."""
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
from matplotlib.figure import Figure  # without pyplot, whose backend is the caller's
from torch import Tensor

from pic_plugin.evaluation.saliency import accuracy_by_overlap

_COLOURS = ('tab:blue', 'tab:green', 'tab:orange', 'tab:gray')


class Columns(NamedTuple):
    """n images, and what networks make of them."""
    images: Sequence[np.ndarray]  # [H, W], or [H, W, 3] RGB, uint8, of any sizes
    maps: Mapping[str, Tensor]  # network -> [n, h, w]
    overlaps: Tensor  # [n], to stand above the images


def plot_maps(groups: Mapping[str, Columns], out: Path) -> None:
    """Write a PNG with a column for each image and a row for each network: PIC's Figure 4.

    Args:
        groups: title -> columns, side by side; each column has one scale of colours.
        out: the file.
    """
    num_columns = [len(group.images) for group in groups.values()]
    num_rows = 1 + max(len(group.maps) for group in groups.values())
    figure = Figure(figsize=(0.4 + 0.8 * sum(num_columns), 0.5 + 0.8 * num_rows), layout='constrained')
    parts = figure.subfigures(1, len(groups), squeeze=False, width_ratios=num_columns)[0]
    for part, (title, group) in zip(parts, groups.items()):
        part.suptitle(title, fontsize=9)
        _draw_columns(part.subplots(num_rows, len(group.images), squeeze=False), group)
    figure.savefig(out, dpi=100)


def _draw_columns(axes: np.ndarray, group: Columns) -> None:
    for column, image in enumerate(group.images):
        height, width = image.shape[:2]
        extent = (0, width, height, 0)
        largest = max(float(maps[column].max()) for maps in group.maps.values())
        axes[0, column].set_title(f'{float(group.overlaps[column]):.2f}', fontsize=8)
        for row, maps in enumerate([None, *group.maps.values()]):
            panel = axes[row, column]
            panel.imshow(image, cmap='gray', vmin=0, vmax=255, extent=extent)
            if maps is not None:
                panel.imshow(maps[column].cpu(), cmap='inferno', vmin=0, vmax=largest, extent=extent, alpha=0.75,
                             interpolation='bilinear')
            panel.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
    for row, name in enumerate(['image', *group.maps]):
        axes[row, 0].set_ylabel(name, fontsize=8)


def plot_overlaps(overlaps: Mapping[str, Tensor], correct: Optional[Tensor], out: Path) -> None:
    """Write a PNG with the overlaps' histogram and, where it is known, accuracy against overlap: PIC's Figure 5.

    Args:
        overlaps: with what -> ``[M]``; the first is the one that accuracy is shown against.
        correct: ``[M]`` bool.
        out: the file.
    """
    panels = 1 if correct is None else 2
    figure = Figure(figsize=(4.5 * panels, 3.5), layout='constrained')
    axes = figure.subplots(1, panels, squeeze=False)
    values = {name: overlap.double().cpu().numpy() for name, overlap in overlaps.items()}
    bins = np.linspace(min(x.min() for x in values.values()), max(x.max() for x in values.values()), 41)
    for (name, numbers), colour in zip(values.items(), _COLOURS):
        axes[0, 0].hist(numbers, bins, color=colour, alpha=0.6, label=f'{name}: {numbers.mean():.3f}')
    axes[0, 0].set(xlabel='overlap', ylabel='images')
    axes[0, 0].legend(fontsize=8, title='mean overlap', title_fontsize=8)
    if correct is not None:
        name = next(iter(overlaps))
        curve = accuracy_by_overlap(overlaps[name], correct)
        axes[0, 1].errorbar(curve.overlap.cpu(), 100 * curve.accuracy.cpu(), 100 * curve.error.cpu(), marker='o',
                            capsize=3, color=_COLOURS[0])
        axes[0, 1].set(xlabel=f'overlap with {name}', ylabel='top-1 accuracy (%)')
    figure.savefig(out, dpi=120)
