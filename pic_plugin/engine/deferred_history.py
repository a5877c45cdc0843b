"""Logged numbers that stay on the device until somebody looks at them.

mmengine turns each into a Python number as it is logged, and the host waits for the device once per iteration and key.
"""
from typing import Any, Optional, Union

import numpy as np
from mmengine.logging import HistoryBuffer, MessageHub
from torch import Tensor

_MOST_PENDING = 4096


class DeferredHistoryBuffer(HistoryBuffer):
    """mmengine's ``HistoryBuffer``, which takes tensors of one element, and reads them all once it is looked at.

    What is read has the bits that mmengine's would have.  A copy, or a pickle, is mmengine's.

    Args:
        args: as in :class:`mmengine.logging.HistoryBuffer`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._pending: Optional[Tensor] = None  # [_MOST_PENDING], on the device, the first of which are to be read
        self._pending_counts: list[int] = []
        super().__init__(*args, **kwargs)

    def update(self, log_val: Union[int, float, Tensor], count: int = 1) -> None:
        """Append a number; from a tensor it is taken as it is now, without waiting."""
        if not isinstance(log_val, Tensor):
            super().update(log_val, count)
            return
        like = self._pending
        if (like is None or (like.dtype, like.device) != (log_val.dtype, log_val.device)
                or len(self._pending_counts) == _MOST_PENDING):
            self._read_pending()
            self._pending = like = log_val.new_empty(_MOST_PENDING)
        like[len(self._pending_counts)].copy_(log_val.detach().reshape(()))
        self._pending_counts.append(count)

    def _read_pending(self) -> None:
        if self._pending is None or not self._pending_counts:
            return
        counts, self._pending_counts = self._pending_counts, []
        self._log_history = np.append(self._logs, self._pending[:len(counts)].tolist())[-self.max_length:]
        self._count_history = np.append(self._counts, counts)[-self.max_length:]

    @property
    def _log_history(self) -> np.ndarray:
        self._read_pending()
        return self._logs

    @_log_history.setter
    def _log_history(self, logs: np.ndarray) -> None:
        self._logs = logs

    @property
    def _count_history(self) -> np.ndarray:
        self._read_pending()
        return self._counts

    @_count_history.setter
    def _count_history(self, counts: np.ndarray) -> None:
        self._counts = counts

    def __reduce__(self) -> tuple:
        return HistoryBuffer, (*self.data, self.max_length)


def update_scalar_later(message_hub: MessageHub, key: str, value: Any) -> None:
    """``message_hub.update_scalar(key, value)`` that waits for the device at the first value of a key only.

    What was logged under the key before, or came out of a checkpoint, is kept.
    """
    buffer = message_hub.log_scalars.get(key)
    if isinstance(value, Tensor) and isinstance(buffer, DeferredHistoryBuffer):
        buffer.update(value)
        return
    message_hub.update_scalar(key, value)
    if isinstance(value, Tensor):
        message_hub.log_scalars[key] = DeferredHistoryBuffer(*message_hub.get_scalar(key).data)
