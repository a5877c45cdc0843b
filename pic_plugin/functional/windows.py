r"""The sliding-window order of the data: position in the stream -> index of the sample.

PIC, Section 2.2 and Algorithm 3.  A window of :math:`W` places slides by :math:`S` along permutations of the data set,
laid end to end, and at each stop gives what it covers, shuffled.  The p-th sample of that stream is

.. math::
    q(p) = \lfloor p / W \rfloor S + \sigma_{\lfloor p / W \rfloor}(p \bmod W), \qquad
    \text{sample}(p) = \pi_{\lfloor q / N \rfloor}(q \bmod N)

:math:`\sigma_i` permutes the window's W places, :math:`\pi_j` the data set in its j-th pass: :math:`\pi_j = \pi_0`,
which is Algorithm 3 and has no image twice in a window, unless ``reshuffle``.  Both are computed point by point, so a
position costs the same at N = 10^9 as at N = 10 and no list of N indices exists anywhere.
"""
import torch
from torch import Tensor

from .hashing import hash64

_WINDOW, _PASS, _SWAP = 1, 2, 3  # what a hash is for: equal numbers with another purpose give other bits
_NUM_ROUNDS = 96  # mixing needs O(log n) rounds; a test counts permutations and neighbours


def permute(index: Tensor, size: int, key: Tensor, inverse: bool = False) -> Tensor:
    r"""Image of ``index`` under the pseudorandom permutation of 0 .. size-1 that ``key`` selects.

    The swap-or-not shuffle (Hoang, Morris, Rogaway, CRYPTO 2012): in each round a random reflection pairs :math:`x`
    with :math:`(c - x) \bmod n`, and a bit that depends on the pair alone says whether the two change places.

    Args:
        index: int64, each in [0, size).
        size: n, the number of elements that are permuted.
        key: int64, of a shape that broadcasts against ``index``; each key is another permutation.
        inverse: whether to give the element whose image is ``index``: each round is its own inverse.

    Returns:
        Tensor: int64, of the broadcast shape.
    """
    for round_ in reversed(range(_NUM_ROUNDS)) if inverse else range(_NUM_ROUNDS):
        round_key = hash64(key, round_)
        partner = (round_key.remainder(size) - index).remainder(size)
        swap = hash64(round_key, _SWAP, torch.maximum(index, partner)) < 0
        index = torch.where(swap, partner, index)
    return index


def stream_samples(positions: Tensor, num_samples: int, window_size: int, window_stride: int, seed: int,
                   reshuffle: bool = False) -> Tensor:
    """Indices of the samples at ``positions`` of the stream.

    Args:
        positions: ``[P]`` int64, not negative.
        num_samples: N, the size of the data set.
        window_size: W, in samples.
        window_stride: S, in samples, by which the next window is shifted.
        seed: selects the permutations.
        reshuffle: whether each pass over the data set has a permutation of its own.  A window that reaches from one
            pass into the next then holds some images twice.

    Returns:
        Tensor: ``[P]`` int64 in [0, N).

    Raises:
        ValueError: unless 1 <= window_stride <= window_size <= num_samples.
    """
    check_window(num_samples, window_size, window_stride)
    place = place_of(positions, window_size, window_stride, seed)
    return permute(place % num_samples, num_samples, pass_key(seed, place // num_samples, reshuffle))


def place_of(positions: Tensor, window_size: int, window_stride: int, seed: int) -> Tensor:
    r""":math:`q(p)`, the place that the stream shows at a position, of permutations laid end to end."""
    window = positions // window_size
    return window * window_stride + permute(positions % window_size, window_size, window_key(seed, window))


def window_key(seed: int, window: Tensor) -> Tensor:
    r"""The key of :math:`\sigma_i`, the permutation of a window's places."""
    return hash64(seed, _WINDOW, window)


def pass_key(seed: int, data_pass: Tensor, reshuffle: bool) -> Tensor:
    r"""The key of :math:`\pi_j`, the permutation of the data set in a pass."""
    return hash64(seed, _PASS, data_pass if reshuffle else torch.zeros_like(data_pass))


def check_window(num_samples: int, window_size: int, window_stride: int) -> None:
    """Raise a ``ValueError`` that names what is wrong unless 1 <= stride <= window <= N."""
    if num_samples < 1:
        raise ValueError(f'the data set must have at least one sample, got {num_samples}')
    if window_size > num_samples:
        raise ValueError(f'window_size must be at most the size of the data set, {num_samples}, got {window_size}; '
                         'lower it, or give None for a window of the whole data set')
    if not 1 <= window_stride <= window_size:
        raise ValueError(f'window_stride must be between 1 and window_size, {window_size}, got {window_stride}: '
                         'a larger stride would leave samples out')
