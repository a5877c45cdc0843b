"""The sliding-window data scheduler (PIC, Section 2.2) as a sampler."""
import os
from collections.abc import Iterator, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Optional

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch import Tensor
from torch.utils.data import Sampler

from pic_plugin.arguments import check_kind, check_positive
from pic_plugin.functional.hashing import hash64
from pic_plugin.functional.windows import check_window, stream_samples
from pic_plugin.registry import DATA_SAMPLERS

from .wrappers import check_is_no_wrapper

_CHUNK = 4096  # positions that are computed at once
_KEPT_CHUNKS = 8
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

    An epoch is N samples of the stream (PIC, footnote 2), rounded up to whole batches of all R ranks: epoch e starts
    where epoch e-1 stopped, so nothing is lost or repeated at its end, all ranks have equally many, and no batch is
    smaller than the others.  Rank r takes every R-th position: the batches of all ranks together are consecutive pieces
    of the stream, whatever R is.

    The sampler is a pure function of (seed, epoch, rank), and of where the stream stood when batches or ranks were last
    changed.  It is computed some thousand positions at a time, the next ones by a thread while the last ones are handed
    out.

    Args:
        dataset (Sized): of N samples.
        window_size (int, optional): W, in samples; None for N, the data set's size.
        window_stride (int, optional): S, in samples, by which the next window is shifted; None for W.  With W = S = N
            it is the ordinary epoch-based order.
        seed (int, optional): one that all ranks agree on is drawn if None.
        reshuffle (bool): whether each pass of the window over the data set has a permutation of its own.  Algorithm 3
            keeps one, and no window holds an image twice; with more, a window that reaches from one pass into the next
            holds some images twice, and lacks as many.
        batch_size (int): of one rank, to whole multiples of which an epoch is rounded up; :class:`InstanceRowsHook`
            sets it to the loader's, which has as many batches either way.

    Raises:
        ValueError: unless 1 <= window_stride <= window_size <= N, all of them whole numbers; or if the data set wraps
            others, whose index is not an image's row.
    """

    def __init__(self,
                 dataset: Sized,
                 window_size: Optional[int] = 131072,
                 window_stride: Optional[int] = 16384,
                 seed: Optional[int] = None,
                 reshuffle: bool = False,
                 batch_size: int = 1) -> None:
        check_kind(int, optional=True, window_size=window_size, window_stride=window_stride, seed=seed)
        check_positive(int, batch_size=batch_size)
        check_is_no_wrapper(dataset)
        self.num_samples = len(dataset)
        self.window_size = self.num_samples if window_size is None else window_size
        self.window_stride = self.window_size if window_stride is None else window_stride
        check_window(self.num_samples, self.window_size, self.window_stride)
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self.reshuffle = reshuffle
        self.batch_size = batch_size
        self.epoch = 0
        self.num_dropped = 0  # of this rank's samples, at the end of an epoch, by a loader with drop_last
        self._skipped = 0, 0  # epochs, and samples of this rank
        self._known_start = 0, 0  # an epoch, and the position in the stream where it starts
        self._thread: Optional[ThreadPoolExecutor] = None  # from the first chunk on
        self._chunks: dict[tuple[int, int, int], Future] = {}
        self._process = os.getpid()

    def __len__(self) -> int:
        """Samples of this rank per epoch."""
        return -(-self.num_samples // (self.world_size * self.batch_size)) * self.batch_size

    def start_of(self, epoch: int) -> int:
        """Position in the stream, which all ranks share, where an epoch starts."""
        known, position = self._known_start
        return position + (epoch - known) * len(self) * self.world_size

    def resume_at(self, epoch: int, position: int) -> None:
        """Let an epoch start where the last one of a run with other batches or ranks stopped."""
        self._known_start = epoch, position

    def set_epoch(self, epoch: int) -> None:
        """Say which part of the stream the next iteration is to give."""
        self.epoch = epoch + self._skipped[0]

    def skip(self, num_samples: int) -> None:
        """Begin behind this rank's first ``num_samples`` samples, and count epochs from there.

        So mmengine's ``IterBasedTrainLoop`` resumes, and loads no image that it has had.
        """
        self._skipped = divmod(num_samples, len(self) - self.num_dropped)
        self.epoch = self._skipped[0]

    def __iter__(self) -> Iterator[StreamIndex]:
        epoch, length = self.epoch, len(self)
        epochs, start = self._skipped
        self._skipped = epochs, 0
        for number in range(start // _CHUNK, -(-length // _CHUNK)):
            chunk = self._chunk(epoch, number)
            self._chunk(*((epoch, number + 1) if (number + 1) * _CHUNK < length else (epoch + 1, 0)))
            first = max(0, start - number * _CHUNK)
            samples, keys = (part[first:].tolist() for part in chunk.result())
            yield from map(StreamIndex, samples, keys)

    def samples(self, epoch: int, start: int, stop: int) -> Tensor:
        """``[stop - start]`` int64, indices of this rank's samples of an epoch: what comes can be known before.

        Empty unless start < stop.
        """
        if start >= stop:
            return torch.empty(0, dtype=torch.int64)
        first, last = start // _CHUNK, -(-stop // _CHUNK)
        chunks = [self._chunk(epoch, number).result()[0] for number in range(first, last)]
        return torch.cat(chunks)[start - first * _CHUNK:stop - first * _CHUNK]

    def _chunk(self, epoch: int, number: int) -> Future:
        """Samples and keys of a part of an epoch; the last few are kept, since they are asked for piece by piece."""
        if self._process != os.getpid():  # forked: the thread is the parent's
            self._thread, self._chunks, self._process = None, {}, os.getpid()
        first = number * _CHUNK
        key = (self.seed, self.start_of(epoch) + first * self.world_size + self.rank, min(_CHUNK, len(self) - first))
        if key not in self._chunks:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1)
            self._chunks[key] = self._thread.submit(self._compute, *key)
            if len(self._chunks) > _KEPT_CHUNKS:
                del self._chunks[next(iter(self._chunks))]
        return self._chunks[key]

    def _compute(self, seed: int, first: int, count: int) -> tuple[Tensor, Tensor]:
        """Samples and keys, int64, of this rank's next ``count`` positions from ``first`` on."""
        positions = first + torch.arange(count) * self.world_size
        samples = stream_samples(positions, self.num_samples, self.window_size, self.window_stride, seed,
                                 self.reshuffle)
        return samples, hash64(seed, _AUGMENTATION, positions)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_thread': None, '_chunks': {}}
