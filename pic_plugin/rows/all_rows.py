"""All classes are active: the slots are this rank's whole share of the table, and nothing moves."""
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Optional

import torch
from torch import Tensor, nn

from pic_plugin.functional.initial_rows import initial_rows
from pic_plugin.sharding import Block

from .state import ActiveBatch, RowOptimizer, RowState, no_check, replace_data_
from .table import PIECE_ROWS
from .transfer import Transfers


class AllRows:
    """Every row of the block in a slot of its own, slot = id - block.start; see :class:`Rows`.

    Args:
        weight: parameter whose data becomes ``[max(n_r, 1), D]``; its dtype, device and D stay.
        optimizer: of that parameter.
        block: the rows of this rank.
        std: standard deviation of the initial weights.
        seed: of the initial weights.
    """

    def __init__(self, weight: nn.Parameter, optimizer: RowOptimizer, block: Block, std: float, seed: int) -> None:
        self.weight, self.optimizer, self.block, self.seed = weight, optimizer, block, seed
        self._transfers = Transfers(weight.device)
        self._check: Callable[[], None] = no_check  # of the last batch
        # a rank without rows keeps one slot, so that its column of the logits is not empty
        self.active: Optional[Tensor] = None if len(block) else torch.zeros(1, dtype=torch.bool, device=weight.device)
        replace_data_(weight, weight.data.new_zeros(max(1, len(block)), weight.shape[1]))
        optimizer.row_momentum = torch.zeros_like(weight.data)
        for ids in self.changed_ids(0):
            self.start_at(ids, initial_rows(ids, weight.shape[1], std, seed, weight.dtype))

    def start_at(self, ids: Tensor, weight: Tensor) -> None:
        """Give the rows ``ids[M]`` of the block the initial value ``weight[M, D]``; before the first step."""
        self.weight.data[(ids - self.block.start).to(self.weight.device)] = weight.to(self.weight)

    def activate(self, ids: Tensor, upcoming: Optional[Tensor] = None,
                 check: Callable[[], None] = no_check) -> ActiveBatch:
        """See :meth:`Rows.activate`: every id is active, and no row is ever written back."""
        self._check()
        self._check = check
        return ActiveBatch(*self._transfers.send_together([self.slots(ids), ids >= 0]))

    def slots(self, ids: Tensor) -> Tensor:
        """This rank's slot of each of ``ids``, -1 for another rank's."""
        return torch.where(self.block.contains(ids), ids - self.block.start, -1)

    def present(self) -> RowState:
        """Copies of the block's rows as they are now, in host memory."""
        return self.read(torch.arange(self.block.start, self.block.stop))

    def settle(self) -> dict[str, Any]:
        """What a checkpoint holds besides the rows, the same on every rank."""
        return {'seed': self.seed, 'recent': None, 'slots': None}

    def held(self) -> tuple[Tensor, Tensor]:
        """See :meth:`Rows.held`."""
        ids = torch.arange(self.block.start, self.block.stop)
        return ids, ids - self.block.start

    def changed_ids(self, since: int) -> Iterator[Tensor]:
        """The whole block, whatever ``since``: each step changes every row."""
        return iter(torch.arange(self.block.start, self.block.stop).split(PIECE_ROWS)) if len(self.block) else iter(())

    def read(self, ids: Tensor) -> RowState:
        """Copies of the rows ``ids[M]`` of the block, in host memory."""
        slots = (ids - self.block.start).to(self.weight.device)
        clock = torch.full((len(ids), ), len(self.optimizer.step_log), dtype=torch.int64)
        return RowState(self.weight.detach()[slots].cpu(), self.optimizer.row_momentum[slots].cpu(), clock)

    def restore(self, pieces: Iterable[tuple[Tensor, RowState]], shared: dict[str, Any]) -> None:
        """Take over what a checkpoint holds; see :meth:`Rows.restore`.

        Raises:
            ValueError: if the checkpoint is of training with recent classes.
        """
        if shared['recent'] is not None:
            raise ValueError(f'the checkpoint is of training with {len(shared["recent"]["ids"])} recent classes, '
                             'expected all: num_negatives must be the one the run was started with')
        self.seed = shared['seed']
        for ids, rows in pieces:
            rows.catch_up_(self.optimizer.step_log)
            slots = (ids - self.block.start).to(self.weight.device)
            self.weight.data[slots] = rows.weight.to(self.weight.device)
            self.optimizer.row_momentum[slots] = rows.momentum.to(self.weight.device)
