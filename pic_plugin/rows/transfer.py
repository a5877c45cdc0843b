"""Copies between host and accelerator that the host does not wait for.

A copy does not keep the host where it is asked for without blocking and its end on the host is pinned memory.  Such
memory comes from torch's caching allocator, which gives it out again only once the copies from and to it are done; so
it is allocated for each copy, and that costs nothing after the first few.
"""
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_ALIGNMENT = 16  # bytes


class Sent:
    """A tensor that was sent to the device."""

    def __init__(self, tensor: Tensor, module: Any = None, event: Any = None) -> None:
        self._tensor, self._module, self._event = tensor, module, event

    def get(self) -> Tensor:
        """The tensor on the device, for work that is queued from now on."""
        if self._event is not None:
            stream = self._module.current_stream(self._tensor.device)
            stream.wait_event(self._event)
            self._tensor.record_stream(stream)  # its memory is the side stream's
            self._event = None
        return self._tensor


class Posted:
    """A tensor that is on its way to the host."""

    def __init__(self, tensor: Tensor, event: Any = None) -> None:
        self._tensor, self._event = tensor, event

    def arrive(self) -> Tensor:
        """The tensor on the host, once the device has done what was queued before it was posted."""
        if self._event is not None:
            self._event.synchronize()
        return self._tensor


class Transfers:
    """The way to a device and back.  On the CPU the tensors themselves are handed on; a device without streams waits.

    Args:
        device: the accelerator, or the CPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        module = getattr(torch, device.type, None)
        self._module: Any = module if device.type != 'cpu' and hasattr(module, 'Stream') else None
        self._stream: Any = None  # beside the one that the device works on

    def use_in_this_thread(self) -> None:
        """Each thread has a current device of its own: make it this one."""
        if self._module is not None:
            self._module.set_device(self.device)

    def host_empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Host memory, not initialised, from and to which copies do not block."""
        return torch.empty(shape, dtype=dtype, pin_memory=self._module is not None)

    def send(self, tensor: Tensor) -> Sent:
        """Send a tensor in memory of :meth:`host_empty`, beside the work that the device has."""
        if self._module is None:
            return Sent(tensor.to(self.device))
        if self._stream is None:
            self._stream = self._module.Stream(self.device)
        with self._module.stream(self._stream):
            on_device = tensor.to(self.device, non_blocking=True)
            event = self._module.Event()
            event.record(self._stream)
        return Sent(on_device, self._module, event)

    def send_together(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Send small host tensors in one copy; the results can be used by what is queued next."""
        if self._module is None:
            return [tensor.to(self.device) for tensor in tensors]
        starts = [0]
        for tensor in tensors:
            starts.append(starts[-1] + math.ceil(tensor.nbytes / _ALIGNMENT) * _ALIGNMENT)
        parts = list(zip(starts, tensors))

        def split(buffer: Tensor) -> list[Tensor]:
            return [buffer[start:start + like.nbytes].view(like.dtype).view(like.shape) for start, like in parts]

        host = self.host_empty((starts[-1], ), torch.uint8)
        for part, tensor in zip(split(host), tensors):
            part.copy_(tensor)
        return split(host.to(self.device, non_blocking=True))

    def post(self, tensor: Tensor) -> Posted:
        """Have a tensor of the device copied to the host, as it is when the device comes to it.

        On the CPU it must not be changed before it has arrived.
        """
        if self._module is None:
            return Posted(tensor.cpu())
        host = self.host_empty(tensor.shape, tensor.dtype)
        host.copy_(tensor, non_blocking=True)
        event = self._module.Event(blocking=True)  # who waits for it sleeps, and leaves the core to others
        event.record(self._module.current_stream(self.device))
        return Posted(host, event)
