"""How good features are: nearest neighbours and probes."""
from .knn import knn_votes

__all__ = ['knn_votes']
