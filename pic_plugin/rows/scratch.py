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
        self._free: list[np.ndarray] = []
        self._held: list[tuple[np.ndarray, weakref.ref]] = []  # memory, and the array that its tensors keep alive

    def empty(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """A tensor of ``shape`` with the dtype and device of ``like``, not initialised."""
        if like.device.type != 'cpu':
            return like.new_empty(shape)
        num_bytes = math.prod(shape) * like.element_size()
        self._free += [memory for memory, array in self._held if array() is None]
        self._held = [(memory, array) for memory, array in self._held if array() is not None]
        memory = next((memory for memory in self._free if memory.nbytes == num_bytes), None)
        if memory is None:  # the sizes have changed: what is free now would hardly be asked for again
            self._free, memory = [], np.empty(num_bytes, np.uint8)
        self._free = [other for other in self._free if other is not memory]
        array = memory.view()
        self._held.append((memory, weakref.ref(array)))
        return torch.from_numpy(array).view(like.dtype).view(*shape)
