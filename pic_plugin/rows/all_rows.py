"""All classes are active: the slots are this rank's whole share of the table, and nothing moves."""
from typing import Any, Optional

import torch
from torch import Tensor, nn

from pic_plugin.functional.initial_rows import initial_rows
from pic_plugin.sharding import Block

from .state import RowOptimizer, RowState, replace_data_


class AllRows:
    """Every row of the block in a slot of its own: slot = id - block.start.

    Args:
        weight: parameter whose data becomes ``[max(n_r, 1), D]``; its dtype, device and D stay.
        optimizer: of that parameter.
        block: the rows of this rank.
        std: standard deviation of the initial weights.
        seed: of the initial weights.
    """

    def __init__(self, weight: nn.Parameter, optimizer: RowOptimizer, block: Block, std: float, seed: int) -> None:
        self.weight, self.optimizer, self.block, self.seed = weight, optimizer, block, seed
        ids = torch.arange(block.start, block.stop)
        rows = initial_rows(ids, weight.shape[1], std, seed, weight.dtype).to(weight.device)
        # a rank without rows keeps one slot, so that its column of the logits is not empty
        self.active: Optional[Tensor] = None if len(block) else torch.zeros(1, dtype=torch.bool, device=weight.device)
        replace_data_(weight, rows if len(block) else weight.data.new_zeros(1, weight.shape[1]))
        optimizer.row_momentum = torch.zeros_like(weight.data)

    def activate(self, ids: Tensor) -> None:
        """Nothing to do: every id is active."""

    def slots(self, ids: Tensor) -> Tensor:
        """This rank's slot of each of ``ids[M]``, -1 for another rank's."""
        return torch.where(self.block.contains(ids), ids - self.block.start, -1)

    def present(self) -> RowState:
        """Copies of the block's rows as they are now, in host memory."""
        num_rows = len(self.block)
        clock = torch.full((num_rows, ), len(self.optimizer.step_log), dtype=torch.int64)
        return RowState(self.weight.detach()[:num_rows].to('cpu', copy=True),
                        self.optimizer.row_momentum[:num_rows].to('cpu', copy=True), clock)

    def state(self) -> tuple[RowState, dict[str, Any]]:
        """What a checkpoint holds: the block's rows, and what else is the same on every rank."""
        return self.present(), {'seed': self.seed, 'recent': None}

    def restore(self, rows: RowState, shared: dict[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self.seed = shared['seed']
        rows.catch_up_(self.optimizer.step_log)
        self.weight.data[:len(self.block)] = rows.weight.to(self.weight.device)
        self.optimizer.row_momentum[:len(self.block)] = rows.momentum.to(self.weight.device)
