"""Pictures of a training run, and of where networks look."""
from .curves import plot_curves, read_scalars
from .saliency import Columns, plot_maps, plot_overlaps

__all__ = ['Columns', 'plot_curves', 'plot_maps', 'plot_overlaps', 'read_scalars']
