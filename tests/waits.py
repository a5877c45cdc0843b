"""Where the host would wait for a GPU, counted on a CPU."""
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class CountWaits(TorchDispatchMode):
    """Counts the tensors whose value is turned into a Python number or a bool, or decides a shape."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        waits = (torch.ops.aten._local_scalar_dense, torch.ops.aten.equal, torch.ops.aten.nonzero)
        indexed_by_bools = func.overloadpacket in (torch.ops.aten.index, torch.ops.aten.index_put_) and any(
            index is not None and index.dtype == torch.bool for index in args[1])
        self.count += func.overloadpacket in waits or indexed_by_bools
        return func(*args, **(kwargs or {}))
