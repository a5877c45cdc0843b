"""What several networks make of the same images."""
import os
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from pic_plugin.datasets.instance_dataset import InstanceDataset
from pic_plugin.progress import progress_bar

from .images import evaluated_batches

FeaturesOf = Callable[[dict], Tensor]  # of a batch that a network's preprocessor takes -> [B, C] float32
_BATCH = 64
_MOST_WORKERS = 8


@torch.inference_mode()
def features_by(networks: Sequence[FeaturesOf], dataset: InstanceDataset, ids: Sequence[int],
                device: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """Features of images by several networks; each image is read once, and of those that cannot be read there are none.

    Args:
        networks: what is done with a batch.
        dataset: whose pipeline prepares images for all of these networks.
        ids: of the images.
        device: that the networks are on.

    Returns:
        tuple: the images that could be read, ``[M]`` int64, and of each network ``[M, C]`` float32.

    Raises:
        ValueError: if no image could be read, or they are of several sizes.
    """
    batches = [ids[i:i + _BATCH] for i in range(0, len(ids), _BATCH)]
    read: list[int] = []
    features: list[list[np.ndarray]] = [[] for _ in networks]
    with progress_bar(len(ids), 'images') as advance:
        for batch in evaluated_batches(dataset, batches, min(_MOST_WORKERS, len(os.sched_getaffinity(0)) - 1), device):
            if batch.data is not None:
                read += batch.images
                for network, parts in zip(networks, features):
                    parts.append(network(batch.data).cpu().numpy())
            advance(len(batch.images) + len(batch.unreadable))
    if not read:
        raise ValueError(f'none of {len(ids)} images in {", ".join(dataset.folders)} can be read')
    return np.array(read), [np.concatenate(parts) for parts in features]
