"""The ranks among which rows and batches are shared out."""
from dataclasses import dataclass
from typing import Optional

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """This process's place among the ranks.  Without a process group it is rank 0 of 1, and nothing is sent.

    Attributes:
        rank: of this process.
        size: the number of ranks.
        host_group: a gloo group for what the host needs to know (ids): it does not wait for the accelerator.
    """
    rank: int = 0
    size: int = 1
    host_group: Optional[dist.ProcessGroup] = None

    @classmethod
    def of_world(cls) -> 'Ranks':
        """All ranks of the default process group.  Collective."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size(), dist.new_group(backend='gloo'))

    def all_gather(self, tensor: Tensor) -> Tensor:
        """``[...]`` of every rank, all of one shape -> ``[R, ...]``.  CPU tensors travel by the host's group."""
        if self.size == 1:
            return tensor[None]
        out = tensor.new_empty(self.size, *tensor.shape)
        dist.all_gather(list(out.unbind(0)), tensor.contiguous(), group=self._group(tensor))
        return out

    def sum_(self, tensor: Tensor) -> Tensor:
        """Sum over the ranks, in place."""
        if self.size > 1:
            dist.all_reduce(tensor, dist.ReduceOp.SUM, group=self._group(tensor))
        return tensor

    def max_(self, tensor: Tensor) -> Tensor:
        """Maximum over the ranks, in place."""
        if self.size > 1:
            dist.all_reduce(tensor, dist.ReduceOp.MAX, group=self._group(tensor))
        return tensor

    def broadcast_int(self, value: int) -> int:
        """Rank 0's ``value``, on every rank."""
        return int(self.all_gather(torch.tensor(value))[0])

    def _group(self, tensor: Tensor) -> Optional[dist.ProcessGroup]:
        return self.host_group if tensor.device.type == 'cpu' else None
