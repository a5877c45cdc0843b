"""torch.distributed between pretend GPUs, by gloo underneath.

The default group plays NCCL: it takes contiguous device tensors, works on a stream of its own and does not let the host
wait.  Groups made by ``new_group(backend='gloo')`` are the host's, and take CPU tensors.
"""
import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Optional

import mmengine.device
import mmengine.dist.dist
import mmengine.dist.utils
import torch
import torch.distributed as dist
from mmengine.registry import MODEL_WRAPPERS
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from . import device
from .device import DeviceError, DeviceTensor

_OF_TENSORS = ('all_reduce', 'broadcast', 'all_gather', 'all_gather_into_tensor', 'reduce_scatter_tensor',
               'all_to_all_single')  # each writes into its first argument
_OF_OBJECTS = ('all_gather_object', 'broadcast_object_list', 'barrier')  # NCCL's let the host wait
_host_groups: list[dist.ProcessGroup] = []
_stream = device.Stream()


class _Work:
    """A collective that was put into the stream."""

    def wait(self) -> None:
        device.current_stream().wait_stream(_stream)


def _collective(name: str, real: Callable) -> Callable:

    @functools.wraps(real)
    def call(*args: Any, **kwargs: Any) -> Any:
        arguments = inspect.signature(real).bind(*args, **kwargs).arguments
        if mmengine.device.get_device() != device.NAME:
            return real(*args, **kwargs)
        tensors = [x for x in tree_leaves(list(arguments.values())) if isinstance(x, Tensor)]
        on_device = [isinstance(x, DeviceTensor) for x in tensors]
        if any(group is arguments.get('group') for group in _host_groups):
            if any(on_device):
                raise DeviceError(f"{name}: a tensor on {device.NAME}, in the host's group")
            if not arguments.get('async_op'):
                device.log_wait('other ranks', name)
            return real(*args, **kwargs)
        if name in _OF_OBJECTS:
            device.log_wait('other ranks', name)
            device.synchronize()
            return real(*args, **kwargs)
        if not all(on_device):
            raise DeviceError(f'{name}: No backend type associated with device type cpu')
        if not all(x.is_contiguous() for x in tensors):
            raise DeviceError(f'{name}: Tensors must be contiguous, got {[(x.shape, x.stride()) for x in tensors]}')
        is_async = arguments.pop('async_op', False)
        _stream.wait_stream(device.current_stream())
        written = tree_leaves(next(iter(arguments.values())))
        with device.stream(_stream):
            device.use([x for x in tensors if not any(x is y for y in written)], written)
        for tensor in tensors:
            tensor.record_stream(_stream)
        real(**tree_map(lambda x: x._inner if isinstance(x, DeviceTensor) else x, dict(arguments)))
        if is_async:
            return _Work()
        _Work().wait()
        return None

    return call


def _new_group(real: Callable, *args: Any, backend: Optional[str] = None, **kwargs: Any) -> dist.ProcessGroup:
    group = real(*args, backend=backend, **kwargs)
    if backend == 'gloo':
        _host_groups.append(group)
    return group


def _comm_device(group: Optional[dist.ProcessGroup] = None) -> torch.device:
    """Of mmengine's own collectives, which move tensors to where their group wants them."""
    return torch.device('cpu' if group in _host_groups else mmengine.device.get_device())


def _cast(real: Callable, data: Any, where: torch.device, out: Any = None) -> Any:
    if not isinstance(data, Tensor):
        return real(data, where, out)
    moved = data.to(where)
    if out is not None:  # mmengine wants its class to be that of data, which is another on the pretend device
        out.copy_(moved)
    return moved


def install() -> None:
    """Make the process's groups those of pretend GPUs; after the default one was made."""
    for name in (*_OF_TENSORS, *_OF_OBJECTS):
        setattr(dist, name, _collective(name, getattr(dist, name)))
    dist.new_group = functools.partial(_new_group, dist.new_group)
    cast = functools.partial(_cast, mmengine.dist.utils.cast_data_device)
    for module in (mmengine.dist.dist, mmengine.dist.utils):
        module.get_comm_device, module.cast_data_device = _comm_device, cast


@MODEL_WRAPPERS.register_module(force=True)
class AveragedByHand(nn.Module):
    """For DistributedDataParallel, whose C++ cannot handle pretend tensors: the mean of the ranks' gradients."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self._averages = True
        ignored = module._ddp_params_and_buffers_to_ignore
        for name, parameter in module.named_parameters():
            if name not in ignored:
                dist.broadcast(parameter.data, 0)
                parameter.register_post_accumulate_grad_hook(self._average)

    def _average(self, parameter: nn.Parameter) -> None:
        if self._averages:
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        self._averages = False
        yield
        self._averages = True

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        with optim_wrapper.optim_context(self):
            losses = self.module(**self.module.data_preprocessor(data, True), mode='loss')
        loss, logged = self.module.parse_losses(losses)
        optim_wrapper.update_params(loss)
        return logged
