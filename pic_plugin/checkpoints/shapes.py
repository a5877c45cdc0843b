"""Compares networks by the names and shapes of their tensors."""
from collections.abc import Mapping

from torch import Tensor

Shapes = dict[str, tuple[int, ...]]


def shapes_of(state: Mapping[str, Tensor]) -> Shapes:
    """The shape of each tensor, but for ``num_batches_tracked``.

    What BatchNorm counts takes part in nothing, and networks of before 2018 do not have it.
    """
    return {name: tuple(tensor.shape) for name, tensor in state.items() if not name.endswith('num_batches_tracked')}


def differences(given: Shapes, expected: Shapes) -> list[str]:
    """One sentence for each tensor that is missing, too much, or of another shape."""
    return sorted(f'{name} is {given.get(name, "missing")}, expected {expected.get(name, "none")}'
                  for name in given.keys() | expected.keys() if given.get(name) != expected.get(name))
