"""Large tensors that every step needs, allocated once."""
import math
import weakref
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class Scratch:
    """Gives out host memory again once nobody holds a tensor in it.

    To a host, allocating 100 MB costs more than filling it: the system hands out zeroed pages, one by one.  A tensor
    from here may be kept for as long as one likes (as a gradient, say): the next one is then given other memory.
    Accelerators' allocators do this themselves.
    """

    def __init__(self) -> None:
        self._memory: list[np.ndarray] = []
        self._given: list[weakref.ref] = []  # of each, the array that keeps it from being given out: the tensors' own

    def empty(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """A tensor of ``shape`` with the dtype and device of ``like``, not initialised."""
        if like.device.type != 'cpu':
            return like.new_empty(shape)
        num_bytes = math.prod(shape) * like.element_size()
        for i, memory in enumerate(self._memory):
            if memory.nbytes == num_bytes and self._given[i]() is None:
                break
        else:  # the sizes have changed: what is free now would hardly be asked for again
            held = [i for i, given in enumerate(self._given) if given() is not None]
            self._memory = [*(self._memory[i] for i in held), np.empty(num_bytes, np.uint8)]
            self._given = [*(self._given[i] for i in held), lambda: None]  # type: ignore[list-item]
            i = len(held)
        array = self._memory[i].view()
        self._given[i] = weakref.ref(array)
        return torch.from_numpy(array).view(like.dtype).view(*shape)
