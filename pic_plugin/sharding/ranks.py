"""The ranks among which rows and batches are shared out."""
import platform
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Optional

import torch
import torch.distributed as dist
from torch import Tensor

_TIMEOUT = timedelta(hours=1)  # for the host's group as for NCCL in our configs: rank 0 may take long over a checkpoint


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
        host_group = dist.new_group(backend='gloo', timeout=_TIMEOUT)
        assert isinstance(host_group, dist.ProcessGroup)  # which every rank is a member of
        return cls(dist.get_rank(), dist.get_world_size(), host_group)

    def all_gather(self, tensor: Tensor) -> Tensor:
        """``[...]`` of every rank, all of one shape -> ``[R, ...]``.  CPU tensors travel by the host's group."""
        if self.size == 1:
            return tensor[None]
        out = tensor.new_empty(self.size, *tensor.shape)
        dist.all_gather_into_tensor(out.view(-1), tensor.contiguous().view(-1), group=self._group(tensor))
        return out

    def sum_(self, tensor: Tensor) -> Tensor:
        """Sum over the ranks, in place."""
        if self.size > 1:
            dist.all_reduce(tensor, dist.ReduceOp.SUM, group=self._group(tensor))
        return tensor

    def sum_scatter(self, tensor: Tensor) -> Tensor:
        """``[R, ...]`` of every rank -> ``[...]``: the sum over the ranks of what they have for this one."""
        if self.size == 1:
            return tensor[0]
        out = torch.empty_like(tensor[0])
        # each rank receives its own part only (under gloo, which has no such thing, everything)
        dist.reduce_scatter_tensor(out.view(-1), tensor.contiguous().view(-1), group=self._group(tensor))
        return out

    def all_to_all(self, tensor: Tensor) -> Tensor:
        """``[R, ...]`` of every rank, part r for rank r -> ``[R, ...]``, part r from rank r."""
        if self.size == 1:
            return tensor
        out = torch.empty_like(tensor, memory_format=torch.contiguous_format)
        dist.all_to_all_single(out, tensor.contiguous(), group=self._group(tensor))
        return out

    def max_(self, tensor: Tensor) -> Tensor:
        """Maximum over the ranks, in place."""
        if self.size > 1:
            dist.all_reduce(tensor, dist.ReduceOp.MAX, group=self._group(tensor))
        return tensor

    def all_gather_object(self, value: Any) -> list:
        """``value`` of every rank."""
        if self.size == 1:
            return [value]
        out = [None] * self.size
        dist.all_gather_object(out, value, group=self.host_group)
        return out

    def sum_on_this_machine(self, value: int) -> int:
        """The sum of ``value`` over the ranks that run on this rank's machine."""
        machine = platform.node()
        return sum(v for node, v in self.all_gather_object((machine, value)) if node == machine)

    def broadcast_int(self, value: int) -> int:
        """Rank 0's ``value``, on every rank."""
        return int(self.all_gather(torch.tensor(value))[0])

    def barrier(self) -> None:
        """Wait until all ranks are here, on the host."""
        if self.size > 1:
            dist.barrier(group=self.host_group)

    def _group(self, tensor: Tensor) -> Optional[dist.ProcessGroup]:
        return self.host_group if tensor.device.type == 'cpu' else None
