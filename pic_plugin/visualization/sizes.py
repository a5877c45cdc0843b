"""How large the images of a data set are."""
from pathlib import Path

import numpy as np

_WIDTH = 40  # characters of the longest bar


def size_bars(shorter: np.ndarray) -> list[str]:
    """Lines of text: how many images have which shorter side, by powers of two.

    Args:
        shorter: ``[M]``, the images' shorter sides in pixels, at least 1.
    """
    powers, counts = np.unique(np.floor(np.log2(shorter)).astype(int), return_counts=True)
    number = dict(zip(powers.tolist(), counts.tolist()))
    lines = []
    for power in range(min(number, default=0), max(number, default=-1) + 1):
        count = number.get(power, 0)
        bar = '█' * max(count > 0, round(_WIDTH * count / max(number.values())))
        lines.append(f'{2 ** power:>6}-{2 ** (power + 1) - 1:<6}{count:>10,} {bar}'.rstrip())
    return lines


def plot_sizes(sides: np.ndarray, path: Path) -> None:
    """Draw heights against widths, and write the picture.

    Args:
        sides: ``[M, 2]``, height and width in pixels, at least 1.
        path: of the picture.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    figure = Figure(figsize=(5, 4.2), layout='constrained')
    axes = figure.subplots()
    edges = 2 ** np.arange(np.floor(np.log2(sides.min())), np.log2(sides.max()) + 0.26, 0.25)
    _, _, _, image = axes.hist2d(sides[:, 1], sides[:, 0], [edges, edges], norm=LogNorm(), cmap='viridis_r')
    axes.set(xscale='log', yscale='log', xlabel='width, pixels', ylabel='height, pixels', aspect='equal',
             title=f'{len(sides):,} images')
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter('{x:.0f}')
    figure.colorbar(image, label='images')
    figure.savefig(path, dpi=100)
