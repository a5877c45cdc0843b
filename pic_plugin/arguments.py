"""Checks that numbers in a config are of the right kind and range."""
import math
from numbers import Integral, Real
from typing import Any


def check_kind(kind: type, optional: bool = False, **values: Any) -> None:
    """Check that arguments are numbers, of this kind.

    Args:
        kind: int for whole numbers only, float for all; a bool is none.
        optional: whether None is one, too.
        values: by the arguments' names.

    Raises:
        ValueError: if one is not.
    """
    for name, value in values.items():
        if value is None and optional:
            continue
        if isinstance(value, bool) or not isinstance(value, Integral if kind is int else Real):
            advice = 'leave out the quotes' if isinstance(value, str) else 'write it without point and exponent' if \
                isinstance(value, float) else 'give one'
            raise ValueError(f'{name} must be a {"whole " if kind is int else ""}number{" or None" if optional else ""}'
                             f', got {value!r} ({type(value).__name__}); {advice}')


def check_positive(kind: type, optional: bool = False, **values: Any) -> None:
    """Check as :func:`check_kind` does, and that they are positive and finite."""
    check_kind(kind, optional, **values)
    for name, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f'{name} must be positive, got {value}')
