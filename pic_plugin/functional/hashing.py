r"""Counter-based random bits: a value is a function of its keys, with no state to carry or to save.

.. math:: \text{hash}(k_1, \dots, k_n) = f(k_n + f(k_{n-1} + \dots f(k_1 + \gamma) \dots) + \gamma)

:math:`f` is the finaliser of SplitMix64 and :math:`\gamma` its increment (Steele, Lea, Flood: "Fast Splittable
Pseudorandom Number Generators", OOPSLA 2014).  All arithmetic is modulo 2^64 on int64 tensors.
"""
from typing import Any, Union

import torch
from torch import Tensor


def _as_int64(value: int) -> int:
    """The int64 that has the 64 bits of ``value``."""
    return value - (1 << 64) if value >= 1 << 63 else value


_INCREMENT = _as_int64(0x9E3779B97F4A7C15)
_MULTIPLIERS = (_as_int64(0xBF58476D1CE4E5B9), _as_int64(0x94D049BB133111EB))


def _logical_shift_right(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _finalise(x: Tensor) -> Tensor:
    x = (x ^ _logical_shift_right(x, 30)) * _MULTIPLIERS[0]
    x = (x ^ _logical_shift_right(x, 27)) * _MULTIPLIERS[1]
    return x ^ _logical_shift_right(x, 31)


def hash64(*keys: Union[int, Tensor]) -> Tensor:
    """64 random bits for each tuple of keys.

    Args:
        keys: Python ints or int64 tensors of shapes that broadcast against each other.

    Returns:
        Tensor: int64, of the broadcast shape; every bit is uniform.
    """
    state = torch.zeros((), dtype=torch.int64)
    for key in keys:
        state = _finalise(state + key + _INCREMENT)
    return state


def uniform(*keys: Union[int, Tensor]) -> Tensor:
    """A float64 in the open interval (0, 1) for each tuple of keys: 53 bits of :func:`hash64`, never 0 or 1."""
    return (_logical_shift_right(hash64(*keys), 11).double() + 0.5) * 2.0**-53


class Draws:
    """The numbers ``uniform(key, 0)``, ``uniform(key, 1)``, ... one after the other, in 0.6 µs each.

    A generator of random numbers that costs nothing to seed.  In Python's integers: tensors would take 20 µs a number,
    since they are made for many at once.

    Args:
        key: 64 bits, as of :func:`hash64`; negative ones are taken modulo 2^64.
    """

    def __init__(self, key: int) -> None:
        self._state = _finalised((key + _INCREMENT) & _MASK)
        self._count = 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """The next number, in (low, high); ``low`` if both are equal."""
        bits = _finalised((self._state + self._count + _INCREMENT) & _MASK)
        self._count += 1
        return low + (high - low) * (((bits >> 11) + 0.5) * 2.0**-53)

    def below(self, number: int) -> int:
        """The next whole number, from 0 up to, without, ``number``."""
        return int(self.uniform() * number)

    def __deepcopy__(self, memo: Any) -> 'Draws':
        """Itself: views that are made of copies (mmpretrain's ``MultiView``) draw one after the other."""
        return self


_MASK = (1 << 64) - 1
_UNSIGNED = tuple(multiplier & _MASK for multiplier in _MULTIPLIERS)


def _finalised(x: int) -> int:
    """:func:`_finalise` of one number of 64 bits, without a sign."""
    x = (x ^ x >> 30) * _UNSIGNED[0] & _MASK
    x = (x ^ x >> 27) * _UNSIGNED[1] & _MASK
    return x ^ x >> 31
