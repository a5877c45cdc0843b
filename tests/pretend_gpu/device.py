"""Tensors on a pretend device 'gpu', computed on the CPU, under CUDA's rules.

What CUDA refuses is refused, what would make the host wait is logged with file and line, kernels are counted, and
copies that do not wait are as late as they may be; docs/pretend_gpu.md has the whole list.

:func:`install` registers the device with torch, for the rest of the process and before its first backward (autograd's
engine counts devices once): tests run on it in processes of their own.
"""
import contextlib
import functools
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves, tree_map

AVAILABLE = hasattr(backend_registration, '_setup_privateuseone_for_python_backend')
NAME = 'gpu'
# whose lines are logged
MODULES = ('pic_plugin', 'mmengine', 'mmpretrain', 'torch.optim', 'torch.amp', 'torch.distributed.fsdp', 'tests')
OWN_MODULES = (__name__, f'{__package__}.collectives')

aten = torch.ops.aten
_lock = threading.RLock()  # the worker threads, autograd's and the main one share all that follows
_stream_of_thread = threading.local()
_blocks: 'weakref.WeakValueDictionary[int, _Block]' = weakref.WeakValueDictionary()  # by their storage
_pinned: dict[int, StorageWeakRef] = {}
_streams: 'weakref.WeakSet[Stream]' = weakref.WeakSet()
_done: Counter = Counter()  # how far the host knows each stream to be
_under_way: list['_Copy'] = []
_faults: list[str] = []  # found where nothing can be raised
_waits: list['Wait'] = []
_kernels: Counter = Counter()
_logs_taken = 0


class DeviceError(RuntimeError):
    """What CUDA would refuse, or do wrong without a word."""


class Wait(NamedTuple):
    """The host waited for the device, or would have."""
    kind: str
    operator: str
    frames: tuple[tuple[str, int, str], ...]  # file, line and function, the innermost first

    def __str__(self) -> str:
        where = ' < '.join(f'{file}:{line} {function}' for file, line, function in self.frames)
        return f'{self.kind:16} {self.operator:28} {where}'


def take_log() -> tuple[list[Wait], Counter]:
    """The waits of all threads, and the kernels by operator, since the last call."""
    global _logs_taken
    with _lock:
        _logs_taken += 1
        out = _waits.copy(), _kernels.copy()
        _waits.clear()
        _kernels.clear()
    return out


def num_kernels() -> int:
    """Since :func:`take_log` was called."""
    return sum(_kernels.values())


def log_wait(kind: str, operator: str) -> None:
    thread = threading.current_thread()
    if thread is not threading.main_thread() and not isinstance(thread, threading._DummyThread):
        kind += ', thread'  # a worker's; autograd's, which Python has not started, is a dummy
    frames, frame = [], sys._getframe(1)
    while frame is not None and len(frames) < 3:
        module = frame.f_globals.get('__name__', '')
        if module.startswith(MODULES) and module not in OWN_MODULES:
            file = '/'.join(frame.f_code.co_filename.split('/')[-2:])
            frames.append((file, frame.f_lineno, frame.f_code.co_name))
        frame = frame.f_back
    _waits.append(Wait(kind, operator, tuple(frames)))


# --- streams: what each has seen of the others ---


class Stream:
    """A queue of work.  Of the others' it has seen what it was told to wait for."""

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        self.time = 0  # of the last work
        self.seen: Counter = Counter()
        _streams.add(self)

    def wait_event(self, event: 'Event') -> None:
        self.seen |= event.time  # the later of both, for each stream

    def wait_stream(self, stream: 'Stream') -> None:
        self.wait_event(stream.record_event())

    def record_event(self, event: Optional['Event'] = None) -> 'Event':
        event = event or Event()
        event.record(self)
        return event

    def synchronize(self) -> None:
        event = self.record_event()
        event._synchronize('stream')

    def has_seen(self, stream: 'Stream', time: int) -> bool:
        return stream is self or max(self.seen[stream], _done[stream]) >= time


class Event:
    """A moment of a stream."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False) -> None:
        self.time: Counter = Counter()

    def record(self, stream: Optional[Stream] = None) -> None:
        stream = stream or current_stream()
        self.time = stream.seen | Counter({stream: stream.time})

    def wait(self, stream: Optional[Stream] = None) -> None:
        (stream or current_stream()).wait_event(self)

    def synchronize(self) -> None:
        self._synchronize('event')

    def _synchronize(self, kind: str) -> None:
        with _lock:
            if any(_done[stream] < time for stream, time in self.time.items()):
                log_wait(kind, 'synchronize')
                _finish(self.time)


_default_stream = Stream()


def current_stream(device: Any = None) -> Stream:
    return getattr(_stream_of_thread, 'stream', _default_stream)


@contextlib.contextmanager
def stream(stream: Optional[Stream]) -> Iterator[None]:
    before = current_stream()
    _stream_of_thread.stream = stream or before
    try:
        yield
    finally:
        _stream_of_thread.stream = before


def synchronize(device: Any = None) -> None:
    with _lock:
        log_wait('device', 'synchronize')
        _finish(Counter({stream: stream.time for stream in _streams}))
        _raise_faults()


def _finish(until: Counter) -> None:
    """The host has seen the streams' work: copies that were under way arrive."""
    global _done
    _done |= until
    arrived = [copy for copy in _under_way if copy.time <= _done[copy.stream]]
    _under_way[:] = [copy for copy in _under_way if copy.time > _done[copy.stream]]
    for copy in arrived:
        copy.arrive()


class _Block:
    """Memory of the device: who used it last."""

    def __init__(self, home: Stream) -> None:
        self.home = home
        self.written: tuple[Stream, int] = (home, 0)
        self.read: dict[Stream, int] = {}
        self.recorded: set[Stream] = set()

    def __del__(self) -> None:
        # the allocator gives it out again to the stream it is from
        for stream, time in [self.written, *self.read.items()]:
            if stream not in self.recorded and not self.home.has_seen(stream, time):
                _faults.append('memory was freed while a stream that it is not from was still to use it: '
                               'call record_stream, or let its own stream wait for the other')


def _block_of(inner: Tensor) -> _Block:
    key = inner.untyped_storage()._cdata
    block = _blocks.get(key)
    if block is None:
        block = _blocks[key] = _Block(current_stream())
    return block


def use(read: Iterable['DeviceTensor'], written: Iterable['DeviceTensor']) -> tuple[Stream, int]:
    """Note the work that is put into the current stream, and check that what it needs is there by then."""
    stream = current_stream()
    stream.time += 1
    for tensor in read:
        if not stream.has_seen(*tensor._block.written):
            raise DeviceError('a tensor is read on a stream that has not waited for the one that writes it')
        tensor._block.read[stream] = stream.time
    for tensor in written:
        block = tensor._block
        if not all(stream.has_seen(*use) for use in [block.written, *block.read.items()]):
            raise DeviceError('a tensor is written on a stream that has not waited for another that uses it')
        block.written, block.read = (stream, stream.time), {}
    return stream, stream.time


def _raise_faults() -> None:
    if _faults:
        fault = '; '.join(_faults)
        _faults.clear()
        raise DeviceError(fault)


# --- pinned memory, and copies from and to it ---


def is_pinned(tensor: Tensor) -> bool:
    return tensor.untyped_storage()._cdata in _pinned  # while that is referred to its address is not given out again


def pin(tensor: Tensor) -> Tensor:
    storage = tensor.untyped_storage()
    _pinned[storage._cdata] = StorageWeakRef(storage)
    return tensor


class _Copy:
    """A copy that the host has not seen the end of."""

    def __init__(self, stream: Stream, time: int, host: Tensor, value: Tensor, to_host: bool) -> None:
        self.stream, self.time, self.value, self.to_host = stream, time, value, to_host
        self.host = StorageWeakRef(host.untyped_storage())
        self.layout = host.storage_offset(), host.size(), host.stride()
        if to_host:
            host.copy_(_poison(value))
        _under_way.append(self)

    def arrive(self) -> None:
        storage = torch.UntypedStorage._new_with_weak_ptr(self.host.cdata)
        if storage is None:  # freed meanwhile, which torch's allocator of pinned memory minds
            return
        host = torch.empty(0, dtype=self.value.dtype).set_(storage, *self.layout)
        if self.to_host:
            host.copy_(self.value)
        elif not torch.equal(_bytes(host), _bytes(self.value)):
            raise DeviceError('host memory was overwritten while a copy from it was under way')


def _poison(value: Tensor) -> Tensor:
    if value.dtype.is_floating_point:
        return torch.full_like(value, torch.nan)
    return ~value if value.dtype == torch.bool else torch.full_like(value, torch.iinfo(value.dtype).min or 255)


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().view(-1).view(torch.uint8)  # NaN is NaN


def _is_dense(tensor: Tensor) -> bool:
    span = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride()))
    return tensor.numel() in (0, span)


def _copy(target: Tensor, source: Tensor, non_blocking: bool, operator: str) -> None:
    """Between host and device; as in CUDA's Copy.cu what has to be converted goes by memory that is not pinned."""
    to_host = isinstance(source, DeviceTensor)
    host = target if to_host else source
    alike = (target.dtype, target.shape, target.stride()) == (source.dtype, source.shape, source.stride())
    late = non_blocking and is_pinned(host) and alike and _is_dense(host)
    when = use([source], []) if to_host else use([], [target])
    if late:
        inner = source._inner if to_host else target._inner.copy_(source)
        _Copy(*when, host, inner.clone(), to_host)
        return
    log_wait('device to host' if to_host else 'host to device', operator)
    if to_host or not non_blocking:
        _finish(current_stream().record_event().time)
    (target if to_host else target._inner).copy_(source._inner if to_host else source)


# --- tensors ---


class DeviceTensor(Tensor):
    """A tensor of the pretend device."""

    _inner: Tensor
    _block: _Block
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: Tensor) -> 'DeviceTensor':
        out = Tensor._make_wrapper_subclass(cls, inner.shape, strides=inner.stride(), dtype=inner.dtype,
                                            storage_offset=inner.storage_offset(), device=f'{NAME}:0')
        # the block goes first when the tensor goes: else another thread may be given its memory, and find it there
        out._block, out._inner = _block_of(inner), inner
        return out

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: Optional[dict] = None) -> Any:
        with _lock:
            _raise_faults()
            return _run(func, args, kwargs or {})

    @property
    def data(self) -> Tensor:
        return Tensor.data.__get__(self)

    @data.setter
    def data(self, other: 'DeviceTensor') -> None:
        Tensor.data.__set__(self, other)
        self._block, self._inner = other._block, other._inner

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, (int, float)):  # as CUDA has it: on the host
            value = torch.tensor(value, dtype=self.dtype)
        super().__setitem__(index, value)

    def __repr__(self, **kwargs: Any) -> str:
        return f'{self.detach().cpu()!r} on {NAME}'

    def tolist(self) -> Any:
        return self.detach().cpu().tolist()

    def numpy(self, **kwargs: Any) -> None:
        raise TypeError(f"can't convert {NAME}:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to "
                        'host memory first.')

    def record_stream(self, stream: Stream) -> None:
        self._block.recorded.add(stream)


_INDEXING = ('aten::index', 'aten::index_put', 'aten::index_put_', 'aten::_index_put_impl_')
_WAITING = ('aten::_local_scalar_dense', 'aten::nonzero', 'aten::masked_select', 'aten::equal', 'aten::_unique2',
            'aten::unique_dim', 'aten::unique_consecutive', 'aten::bincount')
# of operators that are not pointwise by torch's own account, those that take a number from the host
_TAKE_NUMBERS = ('aten::fill_', 'aten::masked_fill', 'aten::masked_fill_', 'aten::_foreach_mul_', 'aten::_foreach_div_')
_NO_KERNEL = ('aten::detach', 'aten::_local_scalar_dense', 'aten::empty_like', 'aten::new_empty',
              'aten::new_empty_strided', 'aten::_unsafe_view', 'aten::empty', 'aten::empty_strided')


def _on_device(value: Any) -> bool:
    return isinstance(value, DeviceTensor)


def _unwrap(value: Any) -> Any:
    if isinstance(value, torch.device):
        return torch.device('cpu')
    return value._inner if _on_device(value) else value


def _run(func: Any, args: tuple, kwargs: dict) -> Any:
    name = func._schema.name
    if name == 'aten::is_pinned':
        return False
    if name == 'aten::copy_' and _on_device(args[0]) != _on_device(args[1]):
        _copy(args[0], args[1], (*args, False)[2] or kwargs.get('non_blocking', False), name)
        return args[0]
    if name == 'aten::_to_copy' and (kwargs.get('device') or torch.device(NAME)).type != NAME:
        source, non_blocking = args[0], kwargs.get('non_blocking', False)
        target = torch.empty_like(source._inner, dtype=kwargs.get('dtype'),
                                  memory_format=kwargs.get('memory_format') or torch.preserve_format)
        if non_blocking:  # as CUDA has it: the host must not read it before it has waited
            pin(target)
        _copy(target, source, non_blocking, name)
        return target
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    written = _written(func, args, kwargs)
    _check(func, name, args, kwargs, tensors, written)
    if not func.is_view:
        use((x for x in tensors if _on_device(x)), written)
        if name not in _NO_KERNEL:
            _kernels[name] += 1
    out = func(*tree_map(_unwrap, args), **tree_map(_unwrap, {k: v for k, v in kwargs.items() if k != 'pin_memory'}))
    for tensor in written:
        if tensor._inner.shape != tensor.shape:
            raise DeviceError(f'the pretend device cannot change the shape of a tensor, as {name} does')
    given = {id(x._inner): x for x in written}
    return tree_map(lambda x: given[id(x)] if id(x) in given else DeviceTensor(x) if isinstance(x, Tensor) else x, out)


def _written(func: Any, args: tuple, kwargs: dict) -> list:
    if not func._schema.is_mutable:
        return []
    names = [(i, argument.name) for i, argument in enumerate(func._schema.arguments)
             if argument.alias_info is not None and argument.alias_info.is_write]
    values = [args[i] if i < len(args) else kwargs.get(name) for i, name in names]
    return [x for x in tree_leaves(values) if isinstance(x, Tensor)]


def _check(func: Any, name: str, args: tuple, kwargs: dict, tensors: list, written: list) -> None:
    """Raise where CUDA would, and log where it would wait."""
    host = [x for x in tensors if not _on_device(x)]
    if name in _INDEXING:
        _check_indices(name, args[0], args[1], args[2] if len(args) > 2 else None)
    elif host and not (all(x.dim() == 0 for x in host) and all(map(_on_device, written)) and (
            torch.Tag.pointwise in func.tags or name in _TAKE_NUMBERS)):
        shapes = {NAME: [tuple(x.shape) for x in tensors if _on_device(x)], 'cpu': [tuple(x.shape) for x in host]}
        raise DeviceError(f'Expected all tensors to be on the same device, in {func}: {shapes}')
    elif name in _WAITING or (name == 'aten::repeat_interleave' and kwargs.get('output_size') is None):
        log_wait('value', name)
        _finish(current_stream().record_event().time)


def _check_indices(name: str, tensor: Tensor, indices: Any, value: Optional[Tensor]) -> None:
    indices = [x for x in indices if x is not None]
    masks = [x for x in indices if x.dtype in (torch.bool, torch.uint8)]
    if not _on_device(tensor):
        raise DeviceError('indices should be either on cpu or on the same device as the indexed tensor (cpu)' if any(
            map(_on_device, indices)) else f'{name}: the value is on {NAME}, the tensor on cpu')
    waits = [('host index', x) for x in indices if not _on_device(x)]
    fills = False
    if value is not None and not _on_device(value):
        if value.dim():
            raise DeviceError(f'{name}: the value is on cpu, the tensor on {NAME}')
        fills = len(masks) == len(indices) == 1
        waits += [] if fills else [('host value', value)]
    waits += [] if fills else [('mask', x) for x in masks if _on_device(x)]
    for kind, _ in waits:
        log_wait(kind, name)
        _finish(current_stream().record_event().time)


# --- the device's module, torch.gpu, and its registration ---


def _factory(func: Any) -> Callable:

    def on_device(*args: Any, **kwargs: Any) -> Tensor:
        kwargs.pop('pin_memory', None)
        with _lock:
            if func._schema.name not in _NO_KERNEL:
                _kernels[func._schema.name] += 1
            out = DeviceTensor(func(*args, **{**kwargs, 'device': 'cpu'}))
            use([], [out])
        return out

    return on_device


def _pinning(create: Callable) -> Callable:

    def created(*args: Any, pin_memory: bool = False, **kwargs: Any) -> Tensor:
        out = create(*args, **kwargs)
        return pin(out) if pin_memory else out

    return created


def _in_half_precision(func: Any) -> Callable:

    def cast(x: Any) -> Any:
        return x.to(torch.get_autocast_dtype(NAME)) if _on_device(x) and x.dtype.is_floating_point else x

    def call(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)):
            return func(*tree_map(cast, args), **tree_map(cast, kwargs))

    return call


def _submit(submit: Callable, *args: Any, **kwargs: Any) -> Future:
    future = submit(*args, **kwargs)
    future.logs_taken = _logs_taken
    return future


def _result(result: Callable, future: Future, timeout: Optional[float] = None) -> Any:
    if getattr(future, 'logs_taken', None) == _logs_taken:  # work of this iteration, which may wait for the device
        log_wait('worker', 'result')
    return result(future, timeout)


_library, _any_library = torch.library.Library('aten', 'IMPL'), torch.library.Library('_', 'IMPL')


def install() -> None:
    """Make the device part of this process; call once."""

    class Module(backend_registration._DummyBackendModule):
        Stream, Event, DeviceError = Stream, Event, DeviceError
        stream, current_stream, synchronize = staticmethod(stream), staticmethod(current_stream), staticmethod(
            synchronize)

        def get_amp_supported_dtype(self) -> list:
            return [torch.float16, torch.bfloat16]

        def default_stream(self, device: Any = None) -> Stream:
            return _default_stream

        def set_device(self, device: Any) -> None:
            pass

    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=Module())
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device='gpu') makes one on the CPU, and copies it
    for func in (aten.empty.memory_format, aten.empty_strided.default, aten.arange.default, aten.arange.start,
                 aten.arange.start_step, aten.eye.default, aten.eye.m):  # the others are made of these
        _library.impl(func, _factory(func), 'PrivateUse1')
    _any_library.fallback(torch.library.fallthrough_kernel, 'AutocastPrivateUse1')
    for func in (aten.linear.default, aten.mm.default, aten.addmm.default, aten.matmul.default, aten.bmm.default,
                 aten.conv2d.default):
        _library.impl(func, _in_half_precision(func), 'AutocastPrivateUse1')
    _library.impl(aten.is_pinned.default, lambda x, device=None: is_pinned(x), 'CPU')
    _library.impl(aten._pin_memory.default, lambda x, device=None: pin(x.clone()), 'CPU')
    for owner, names in ((torch, ('empty', 'zeros', 'ones', 'full', 'tensor', 'empty_like', 'zeros_like')),
                         (Tensor, ('new_empty', 'new_zeros'))):
        for name in names:
            setattr(owner, name, _pinning(getattr(owner, name)))
    ThreadPoolExecutor.submit = functools.partialmethod(functools.partial(_submit, ThreadPoolExecutor.submit))
    Future.result = functools.partialmethod(functools.partial(_result, Future.result))
    # what the tensors of a GPU are to torch's optimizers
    torch.utils._foreach_utils._foreach_supported_types.append(DeviceTensor)
