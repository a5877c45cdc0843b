"""What a row is, what the rows on the device offer, and what they need of the optimizer."""
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Optional, Protocol

import torch
from torch import Tensor, nn

from pic_plugin.functional.weight_correction import StepLog, correct_
from pic_plugin.sharding import Block


class RowState(NamedTuple):
    """R rows.  Brought from ``clock`` to now by the logged steps, they are what dense SGD would hold."""
    weight: Tensor  # [R, D]
    momentum: Tensor  # [R, D], the dtype of the weight
    clock: Tensor  # [R] int64, the number of optimizer steps that weight and momentum include

    def catch_up_(self, step_log: StepLog) -> 'RowState':
        """Bring all rows up to date, in place."""
        correct_(self.weight, self.momentum, step_log.product(self.clock))
        self.clock.fill_(len(step_log))
        return self


class RowOptimizer(Protocol):
    """The optimizer of the rows at hand.

    Attributes:
        step_log: the steps that it has really made.
        row_momentum: ``[S, D]``, its momentum buffer of the parameter that holds the rows; may be replaced by one of
            another length when that parameter is.
    """
    step_log: StepLog
    row_momentum: Tensor


class ActiveBatch(NamedTuple):
    """Where the rows of a batch are, on the device."""
    slots: Tensor  # int64 of the shape of the ids: this rank's slot, -1 for another rank's and what is left out
    readable: Tensor  # bool of that shape: False for what is left out


def no_check() -> None:
    """The check that always passes."""


class Rows(Protocol):
    """The rows that this rank has at hand for the softmax, and those it has elsewhere.

    Attributes:
        weight: parameter ``[S, D]`` of the optimizer, a row in each slot.
        block: the rows of this rank, at hand or not.
        active: ``[S]`` bool on the parameter's device, the slots that take part in the softmax; None while all do.
    """
    weight: nn.Parameter
    block: Block
    active: Optional[Tensor]

    def activate(self, ids: Tensor, upcoming: Optional[Tensor] = None,
                 check: Callable[[], None] = no_check) -> ActiveBatch:
        """Have the rows of a batch at hand, without waiting for the device.

        Args:
            ids: int64 on the CPU of any shape, all ranks' samples in the order of the stream; negative where a sample
                is left out.
            upcoming: int64 on the CPU, what is likely to come next; negative ids do not count.
            check: raises if the steps up to now went wrong.  It is called with the next batch, when what it looks at
                has long been computed, and before a row is written back.

        Raises:
            ValueError: if there are more distinct ids than the softmax has classes; nothing has changed then.
        """

    def start_at(self, ids: Tensor, weight: Tensor) -> None:
        """Give the rows ``ids[M]`` of the block the initial value ``weight[M, D]``; before the first step."""

    def slots(self, ids: Tensor) -> Tensor:
        """This rank's slot of each of ``ids``, on the CPU; -1 for an id that is another rank's or not active."""

    def present(self) -> RowState:
        """Copies of the block's rows as they are now, in host memory."""

    def settle(self) -> dict[str, Any]:
        """Be ready to be read for a checkpoint; returns what else it holds, the same on every rank.  Collective.

        The slots stay as they are: a run that saves adds up the same numbers in the same order as one that does not.
        """

    def held(self) -> tuple[Tensor, Tensor]:
        """``[H]`` int64 each: the ids of all rows in a slot, rising, and their slots, on the CPU."""

    def changed_ids(self, since: int) -> Iterator[Tensor]:
        """The rows that have changed after ``since`` steps (0: that were ever visited), rising, piece by piece.

        Some that have not may be among them.
        """

    def read(self, ids: Tensor) -> RowState:
        """Copies of the rows ``ids[M]`` of the block in host memory; after :meth:`settle`."""

    def restore(self, pieces: Iterable[tuple[Tensor, RowState]], shared: dict[str, Any]) -> None:
        """Take over what a checkpoint holds, into rows that were just allocated.

        The slots are as they were when it was written, if there were as many ranks.

        Args:
            pieces: ids and rows, in any order; of an id that comes more than once the last one counts.
            shared: what :meth:`settle` gave.

        Raises:
            ValueError: if the checkpoint has another number of recent classes.
        """


def replace_data_(parameter: nn.Parameter, data: Tensor) -> None:
    """Give ``parameter`` data of another shape, and no gradient.

    Autograd keeps the shape that a parameter had for as long as something holds a graph it was in (a loss that is kept
    for the log, say), and would refuse the next gradient.  A change of dtype makes it forget, so there is one between.
    """
    parameter.grad = None
    parameter.data = data.new_empty(0, dtype=torch.float16 if data.dtype != torch.float16 else torch.float32)
    parameter.data = data
