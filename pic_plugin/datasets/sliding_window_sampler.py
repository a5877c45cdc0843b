"""The sliding-window data scheduler (PIC, Section 2.2) as a sampler."""
from collections.abc import Iterator, Sized
from typing import Optional

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from pic_plugin.functional.hashing import hash64
from pic_plugin.functional.windows import check_window, stream_samples
from pic_plugin.registry import DATA_SAMPLERS

_CHUNK = 4096  # positions that are computed at once
_AUGMENTATION = 4  # what the hash is for


class StreamIndex(int):
    """A sample's index that knows which visit this is.

    Attributes:
        key (int): random bits, a function of (seed, position in the stream): the seed of this visit's augmentations.
    """
    key: int

    def __new__(cls, index: int, key: int) -> 'StreamIndex':  # noqa: D102
        self = super().__new__(cls, index)
        self.key = key
        return self

    def __reduce__(self) -> tuple:
        return StreamIndex, (int(self), self.key)


@DATA_SAMPLERS.register_module()
class SlidingWindowSampler(Sampler):
    """The endless stream of shuffled windows (:mod:`pic_plugin.functional.windows`), an epoch at a time.

    An epoch is N samples of the stream (PIC, footnote 2), rounded up to a multiple of the number of ranks R: epoch e
    starts where epoch e-1 stopped, so nothing is lost or repeated at its end and all ranks have equally many.  Rank r
    takes every R-th position: the batches of all ranks together are consecutive pieces of the stream, whatever R is.

    The sampler is a pure function of (seed, epoch, rank); there is no state to save.

    Args:
        dataset (Sized): of N samples.
        window_size (int, optional): W, in samples; None for N, the data set's size.
        window_stride (int, optional): S, in samples, by which the next window is shifted; None for W.  With W = S = N
            it is the ordinary epoch-based order.
        seed (int, optional): one that all ranks agree on is drawn if None.
        reshuffle (bool): whether each pass of the window over the data set has a permutation of its own.

    Raises:
        ValueError: unless 1 <= window_stride <= window_size <= N.
    """

    def __init__(self,
                 dataset: Sized,
                 window_size: Optional[int] = 131072,
                 window_stride: Optional[int] = 16384,
                 seed: Optional[int] = None,
                 reshuffle: bool = True) -> None:
        self.num_samples = len(dataset)
        self.window_size = self.num_samples if window_size is None else window_size
        self.window_stride = self.window_size if window_stride is None else window_stride
        check_window(self.num_samples, self.window_size, self.window_stride)
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self.reshuffle = reshuffle
        self.epoch = 0

    def __len__(self) -> int:
        """Samples of this rank per epoch."""
        return -(-self.num_samples // self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Say which part of the stream the next iteration is to give."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[StreamIndex]:
        first = self.epoch * len(self)
        for start in range(first, first + len(self), _CHUNK):
            stop = min(start + _CHUNK, first + len(self))
            positions = torch.arange(start, stop) * self.world_size + self.rank
            samples = stream_samples(positions, self.num_samples, self.window_size, self.window_stride, self.seed,
                                     self.reshuffle)
            keys = hash64(self.seed, _AUGMENTATION, positions)
            yield from map(StreamIndex, samples.tolist(), keys.tolist())
