"""k-means whose clusters are equally large (Bradley et al., "Constrained K-Means Clustering", 2000).

What PIC's Appendix F divides the classes of ImageNet by.
"""
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from sklearn.cluster import kmeans_plusplus

_MOST_ITERATIONS = 100


def equal_clusters(features: np.ndarray, num_clusters: int, seed: int = 0) -> np.ndarray:
    """Divide ``features[n, D]`` into clusters whose sizes differ by one at most.

    By turns each cluster's centre is the mean of its members, and the members are those of all such divisions that are
    closest to the centres (squared Euclidean distances, summed up): an assignment problem, n^3 operations.  The start
    is k-means++.

    Args:
        features: of n >= num_clusters samples.
        num_clusters: k.
        seed: of the start.

    Returns:
        np.ndarray: ``[n]`` int, 0 to k - 1.
    """
    num_samples = len(features)
    assert 1 <= num_clusters <= num_samples
    floor, larger = divmod(num_samples, num_clusters)
    centers, _ = kmeans_plusplus(features, num_clusters, random_state=seed)
    clusters, least = np.zeros(num_samples, int), np.inf
    for _ in range(_MOST_ITERATIONS):
        distances = cdist(features, centers, 'sqeuclidean')
        # each cluster has ``floor`` places that must be taken, and one more; those of the latter that are too many are
        # taken by nobody, who may take no other
        nobody = np.full((num_clusters - larger, num_clusters), 1 + distances.sum())
        must = np.repeat(np.concatenate([distances, nobody]), floor, axis=1)
        more = np.concatenate([distances, np.zeros_like(nobody)])
        _, places = linear_sum_assignment(np.concatenate([must, more], axis=1))
        places = places[:num_samples]
        assigned = np.where(places < num_clusters * floor, places // floor, places - num_clusters * floor)
        cost = distances[np.arange(num_samples), assigned].sum()
        if cost >= least:
            break
        clusters, least = assigned, cost
        centers = np.stack([features[clusters == i].mean(0) for i in range(num_clusters)])
    return clusters
