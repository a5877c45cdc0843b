"""Checks whether a loss was finite, without waiting for the device."""
from typing import Optional

from torch import Tensor

from .transfer import Transfers


class LossCheck:
    """Looks at a loss some time after it was computed.

    Args:
        loss: a scalar on any device, which is sent to the host; None passes.
    """

    def __init__(self, loss: Optional[Tensor] = None) -> None:
        self._loss = None if loss is None else Transfers(loss.device).post(loss)

    def __call__(self) -> None:
        """Raise a ``FloatingPointError`` if the loss was not finite."""
        if self._loss is not None and not (value := self._loss.arrive()).isfinite():
            raise FloatingPointError(f'the loss must be finite, got {value.item()}')
