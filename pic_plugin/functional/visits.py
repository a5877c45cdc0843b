r"""When each image was visited last, computed from the order of the data: nothing is counted or saved.

The stream of :mod:`.windows` shows at position p the place q(p) of permutations of the data set laid end to end.  Place
x is in the windows :math:`\lfloor x / S \rfloor` and before, as far as they reach, once in each; and window w has it at

.. math:: p = w W + \sigma_w^{-1}(x - w S)
"""
import torch
from torch import Tensor

from .windows import check_window, pass_key, permute, place_of, window_key

_CHUNK = 1 << 16  # places that are computed at once


def last_visits(positions: Tensor, num_samples: int, window_size: int, window_stride: int, seed: int,
                reshuffle: bool = False) -> Tensor:
    """For each position of the stream the last one before it that has the same sample.

    Args:
        positions: ``[P]`` int64, not negative.
        num_samples: N, the size of the data set.
        window_size: W, in samples.
        window_stride: S, in samples, by which the next window is shifted.
        seed: selects the permutations.
        reshuffle: whether each pass over the data set has a permutation of its own.

    Returns:
        Tensor: ``[P]`` int64, each less than its position; -1 at the first visit of a sample.

    Raises:
        ValueError: unless 1 <= window_stride <= window_size <= num_samples.
    """
    check_window(num_samples, window_size, window_stride)
    window, place = positions // window_size, place_of(positions, window_size, window_stride, seed)
    data_pass, within = place // num_samples, place % num_samples
    # the window before showed this place last, if it has it.  In another pass the sample has another place, which the
    # last window that has it showed; unless that is this one, and shows it only later: then the window before
    places, windows = [place], [window - 1]
    sample = permute(within, num_samples, pass_key(seed, data_pass, True)) if reshuffle else within
    # a window may show the next pass's places first; and by two passes ago the sample was there, since no window
    # touches three.  With one permutation for all passes no window has a sample twice
    for back in (-1, 1, 2) if reshuffle else (1, ):
        that_pass = data_pass - back
        if reshuffle:
            within = permute(sample, num_samples, pass_key(seed, that_pass, True), inverse=True)
        other = that_pass * num_samples + within
        last = torch.minimum(other // window_stride, window)
        for w in (last, last - 1) if reshuffle else (last, ):
            places.append(other)
            windows.append(w)
    x, w = torch.stack(places), torch.stack(windows)  # [C, P] each, C candidates
    offset = x - w * window_stride
    found = w * window_size + permute(offset.clamp(0, window_size - 1), window_size, window_key(seed, w), inverse=True)
    counts = (x >= 0) & (w >= 0) & (offset < window_size) & (found < positions)
    return found.masked_fill(~counts, -1).amax(0)


def num_visited(num_positions: int, num_samples: int, window_size: int, window_stride: int, seed: int,
                reshuffle: bool = False) -> int:
    """How many different samples the first positions of the stream have.

    What whole windows cover is known; of the window at the end only the S places are looked at that are new in it.

    Args:
        num_positions: P, how many.
        num_samples: N, the size of the data set.
        window_size: W, in samples.
        window_stride: S, in samples, by which the next window is shifted.
        seed: selects the permutations.
        reshuffle: whether each pass over the data set has a permutation of its own.

    Raises:
        ValueError: unless 1 <= window_stride <= window_size <= num_samples.
    """
    check_window(num_samples, window_size, window_stride)
    window, shown = divmod(num_positions, window_size)
    covered = (window - 1) * window_stride + window_size if window else 0
    if window == 0 or covered >= num_samples:
        return min(num_samples, covered + shown)
    new = []
    start = window * window_stride
    for offsets in torch.arange(covered - start, window_size).split(_CHUNK):
        key = window_key(seed, torch.tensor(window))
        new.append(start + offsets[permute(offsets, window_size, key, inverse=True) < shown])
    places = torch.cat(new)
    # what reaches into the next pass shows samples that have a place in the first one too
    over = places >= num_samples
    first, second = torch.zeros(1, dtype=torch.int64), torch.ones(1, dtype=torch.int64)
    samples = permute(places[over] - num_samples, num_samples, pass_key(seed, second, reshuffle))
    places[over] = permute(samples, num_samples, pass_key(seed, first, reshuffle), inverse=True)
    return covered + len(places[places >= covered].unique())
