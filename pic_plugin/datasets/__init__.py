"""The order of the data, and the data set of instances."""
from .instance_dataset import InstanceDataset
from .sliding_window_sampler import SlidingWindowSampler

__all__ = ['InstanceDataset', 'SlidingWindowSampler']
