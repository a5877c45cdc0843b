"""How good features are: nearest neighbours and probes."""
from .knn import knn_votes, nearest_neighbours

__all__ = ['knn_votes', 'nearest_neighbours']
