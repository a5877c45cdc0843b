"""What a row is, and what the rows need of the optimizer."""
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from pic_plugin.functional.weight_correction import StepLog, correct_


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


def replace_data_(parameter: nn.Parameter, data: Tensor) -> None:
    """Give ``parameter`` data of another shape, and no gradient.

    Autograd keeps the shape that a parameter had for as long as something holds a graph it was in (a loss that is kept
    for the log, say), and would refuse the next gradient.  A change of dtype makes it forget, so there is one between.
    """
    parameter.grad = None
    parameter.data = data.new_empty(0, dtype=torch.float16 if data.dtype != torch.float16 else torch.float32)
    parameter.data = data
