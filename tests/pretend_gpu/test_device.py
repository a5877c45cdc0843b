"""The pretend device has CUDA's rules: what it refuses, when the host waits, and how late a copy may be."""
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.distributed as dist
from torch import nn

from . import device
from .device import DeviceError, take_log
from .training import pretending

pytestmark = pytest.mark.skipif(not device.AVAILABLE, reason='this torch has no Python backend for a device')

ON_CPU = torch.arange(12.0).view(3, 4)


def kinds():
    return [wait.kind for wait in take_log()[0]]


def refuses():
    x, index = ON_CPU.to('gpu'), torch.tensor([0, 2])
    for mistake, message in [
        (lambda: x + ON_CPU, 'Expected all tensors to be on the same device'),
        (lambda: ON_CPU.add_(x), 'Expected all tensors to be on the same device'),
        (lambda: torch.tensor(2.0).mul_(x.sum()), 'Expected all tensors to be on the same device'),
        (lambda: torch.cat([x, ON_CPU]), 'Expected all tensors to be on the same device'),
        (lambda: x.index_select(0, index), 'Expected all tensors to be on the same device'),
        (lambda: x.index_copy_(0, index.to('gpu'), ON_CPU[:2]), 'Expected all tensors to be on the same device'),
        (lambda: torch.stack([x.sum(), torch.tensor(1.0)]), 'Expected all tensors to be on the same device'),
        (lambda: ON_CPU[index.to('gpu')], 'indices should be either on cpu or on the same device'),
        (lambda: ON_CPU.index_put((index, ), x[:2]), 'the value is on gpu, the tensor on cpu'),
        (lambda: x.index_put((index.to('gpu'), ), ON_CPU[:2]), 'the value is on cpu, the tensor on gpu'),
        (lambda: x.clone().resize_(2, 4), 'cannot change the shape of a tensor'),
    ]:
        with pytest.raises(DeviceError, match=message):
            mistake()
    with pytest.raises(TypeError, match="can't convert gpu:0 device type tensor to numpy"):
        x.numpy()
    assert torch.equal((torch.tensor(2.0) * x).where(x > 1, torch.tensor(5.0)).cpu(), (2 * ON_CPU).where(ON_CPU > 1, 5))


def logs_waits():
    x, flags = ON_CPU.to('gpu'), torch.tensor([True, False, True])
    index, mask, pinned = torch.tensor([0, 2]).to('gpu'), flags.to('gpu'), ON_CPU.pin_memory()
    room = torch.empty(3, 4, pin_memory=True)
    take_log()

    def put(where, value):
        x[where] = value

    for what, expected in [
        (lambda: ON_CPU.to('gpu'), ['host to device']),
        (lambda: ON_CPU.to('gpu', non_blocking=True), ['host to device']),
        (lambda: pinned.to('gpu'), ['host to device']),
        (lambda: pinned.to('gpu', non_blocking=True), []),
        (lambda: pinned[1:].to('gpu', non_blocking=True), []),
        (lambda: pinned.T.to('gpu', non_blocking=True), []),
        (lambda: x.copy_(pinned.T.reshape(3, 4), non_blocking=True), ['host to device']),
        (lambda: pinned.to('gpu', torch.float16, non_blocking=True), ['host to device']),
        (lambda: torch.tensor([1, 2], device='gpu'), ['host to device']),
        (lambda: x.new_tensor([1.0]), ['host to device']),
        (lambda: torch.zeros(2, device='gpu'), []),
        (lambda: x.cpu(), ['device to host']),
        (lambda: x.to('cpu', non_blocking=True), []),
        (lambda: room.copy_(x, non_blocking=True), []),
        (lambda: torch.empty(3, 4).copy_(x, non_blocking=True), ['device to host']),
        (lambda: x.tolist(), ['device to host']),
        (lambda: x.sum().item(), ['value']),
        (lambda: bool(mask.any()), ['value']),
        (lambda: torch.equal(x, x), ['value']),
        (lambda: mask.nonzero(), ['value']),
        (lambda: torch.unique(index), ['value']),
        (lambda: x.masked_select(mask[:, None]), ['value']),
        (lambda: x[mask], ['mask']),
        (lambda: x[flags], ['host index']),
        (lambda: x[torch.tensor([0, 2])], ['host index']),
        (lambda: x[:, [0, 2]], ['host to device']),
        (lambda: x[index], []),
        (lambda: x[1:], []),
        (lambda: put(mask, x[:2].clone()), ['mask']),
        (lambda: put(mask, 0.0), []),
        (lambda: put(index, 0.0), ['host value']),
        (lambda: put(slice(1), 0.0), []),
        (lambda: x * torch.tensor(2.0), []),
        (lambda: torch.gpu.current_stream().synchronize(), ['stream']),
        (lambda: torch.gpu.synchronize(), ['device']),
    ]:
        what()
        assert kinds() == expected, (what.__code__.co_firstlineno, what.__code__.co_consts)
    line = inspect.currentframe().f_lineno + 1
    x.sum().item()
    wait = take_log()[0][0]
    assert wait.frames[0] == ('pretend_gpu/test_device.py', line, 'logs_waits')
    assert str(wait).split()[:4] == ['value', 'aten::_local_scalar_dense', f'pretend_gpu/test_device.py:{line}',
                                     'logs_waits']


def counts_kernels():
    x = ON_CPU.to('gpu').requires_grad_()
    take_log()
    y = (x.view(4, 3).T[1:] * 2).exp()
    assert take_log()[1] == {'aten::mul': 1, 'aten::exp': 1}
    y.sum().backward()
    assert device.num_kernels() == sum(take_log()[1].values()) >= 3
    assert torch.equal(x.grad.cpu()[0], torch.tensor([0, 2 * 2.718281828459045**2, 2 * 2.718281828459045**4, 0]))


def copies_are_late():
    x = ON_CPU.to('gpu')
    for value, poison in [(x, ON_CPU * torch.nan), (x.long(), torch.full((3, 4), -2**63)), (x > 1, ON_CPU <= 1)]:
        room = torch.empty(3, 4, dtype=value.dtype, pin_memory=True)
        early = torch.gpu.Event()
        early.record()
        room.copy_(value, non_blocking=True)
        late = torch.gpu.current_stream().record_event()
        early.synchronize()
        torch.testing.assert_close(room, poison, equal_nan=True, rtol=0, atol=0)
        late.synchronize()
        assert torch.equal(room, value.cpu())
    torch.gpu.Event().synchronize()  # of nothing
    for wait in (torch.gpu.synchronize, torch.gpu.current_stream().synchronize, lambda: x.sum().item()):
        room = x.to('cpu', non_blocking=True)
        assert room.is_pinned() and room.isnan().all()
        wait()
        assert torch.equal(room, ON_CPU)


def host_memory_is_left_alone():
    source = ON_CPU.pin_memory()
    assert source.is_pinned() and source[1:].is_pinned() and not ON_CPU.is_pinned()
    copied = source.to('gpu', non_blocking=True)
    torch.gpu.synchronize()
    source.zero_()  # it has arrived
    assert torch.equal(copied.cpu(), ON_CPU)
    source.to('gpu', non_blocking=True)
    del source  # the allocator keeps it until then
    torch.gpu.synchronize()
    source = ON_CPU.pin_memory()
    source[1:].to('gpu', non_blocking=True)
    source[0] = 7.0  # no part of the copy
    torch.gpu.synchronize()
    source[1:].to('gpu', non_blocking=True)
    source[1] = 7.0
    with pytest.raises(DeviceError, match='host memory was overwritten while a copy from it was under way'):
        torch.gpu.synchronize()


def streams_wait_for_each_other():
    main, side = torch.gpu.current_stream(), torch.gpu.Stream()
    assert main is torch.gpu.default_stream()

    def sent():
        with torch.gpu.stream(side):
            return ON_CPU.pin_memory().to('gpu', non_blocking=True)

    def by_event():
        event = side.record_event()
        main.wait_event(event)

    def by_the_host():
        side.record_event().synchronize()

    with pytest.raises(DeviceError, match='is read on a stream that has not waited for the one that writes it'):
        sent() + 1
    for wait in (lambda: main.wait_stream(side), by_event, by_the_host):
        x = sent()
        wait()
        assert torch.equal((x + 1).cpu(), ON_CPU + 1)
        x.record_stream(main)
    x + 1
    with torch.gpu.stream(side), pytest.raises(DeviceError, match='is written on a stream that has not waited'):
        x.zero_()
    side.wait_stream(main)
    with torch.gpu.stream(side):
        x.zero_()


def memory_is_not_freed_too_early():
    main, side = torch.gpu.current_stream(), torch.gpu.Stream()
    for recorded in (True, False):
        with torch.gpu.stream(side):
            x = ON_CPU.pin_memory().to('gpu', non_blocking=True)
        main.wait_stream(side)
        total = x.sum()
        if recorded:
            x.record_stream(main)
        del x
    with pytest.raises(DeviceError, match='memory was freed while a stream that it is not from was still to use it'):
        total + 1
    assert torch.equal((total + 1).cpu(), torch.tensor(67.0))


def workers_waits_are_told_apart():
    x, go_on = ON_CPU.to('gpu'), threading.Event()
    room = torch.empty(3, 4, pin_memory=True)
    room.copy_(x, non_blocking=True)
    event = torch.gpu.current_stream().record_event()
    take_log()
    with ThreadPoolExecutor(1) as pool:
        arrived = pool.submit(lambda: (go_on.wait(), event.synchronize(), room.clone(), x.sum().item()))
        go_on.set()
        assert torch.equal(arrived.result()[2], ON_CPU)
        # it was given the work in this iteration, and what it waits for itself is told apart
        assert sorted(kinds()) == ['event, thread', 'value, thread', 'worker']
        arrived.result()
        assert kinds() == []


def trains():
    """A network with what an optimizer does on a GPU, a step that overflows among them; the bits are the CPU's."""
    results = []
    for where in ('cpu', 'gpu'):
        for options in (dict(fused=True), dict(foreach=True), {}):
            torch.manual_seed(0)
            network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).to(where)
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, **options)
            scaler = torch.amp.GradScaler(where)
            for boost in (1, 2.0**127, 1):
                with torch.autocast(where, torch.bfloat16):
                    out = network(ON_CPU.to(where))
                assert out.dtype == torch.bfloat16
                scaler.scale(out.float().square().sum() * boost).backward()
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(network.parameters(), 0.1)
                scaler.step(optimizer)
                scaler.update()
                optimizer.zero_grad()
            assert scaler.get_scale() == 2.0**15  # of 2 ** 16
            results.append([parameter.detach().cpu() for parameter in network.parameters()])
    for a, b in zip(results[:3], results[3:]):
        assert all(map(torch.equal, a, b))


def loads(path):
    torch.save({'x': ON_CPU, 'more': [ON_CPU.long(), 3]}, path)
    for map_location, where in (('gpu', 'gpu'), ('cpu', 'cpu'), (None, 'cpu')):
        content = torch.load(path, map_location=map_location, weights_only=True)
        assert content['x'].device.type == content['more'][0].device.type == where
        assert torch.equal(content['x'].cpu(), ON_CPU) and content['more'][1] == 3


def communicates():
    host, rank = dist.new_group(backend='gloo'), dist.get_rank()
    x, both = torch.full((2, ), rank + 1.0, device='gpu'), torch.empty(4, device='gpu')
    take_log()
    dist.all_gather_into_tensor(both, x)
    part, swapped = torch.empty(2, device='gpu'), torch.empty(2, device='gpu')
    dist.reduce_scatter_tensor(part, both)
    dist.all_to_all_single(swapped, part)
    listed = [torch.empty_like(x), torch.empty_like(x)]
    dist.all_gather(listed, x)
    dist.broadcast(x, 0)
    assert kinds() == []
    assert both.tolist() == [1.0, 1.0, 2.0, 2.0] and part.tolist() == [2.0 * (rank + 1)] * 2
    assert swapped.tolist() == [2.0, 4.0] and listed[1].tolist() == [2.0, 2.0] and x.tolist() == [1.0, 1.0]

    work = dist.all_reduce(x, async_op=True)
    with pytest.raises(DeviceError, match='is read on a stream that has not waited'):
        x + 1
    work.wait()
    assert (x + 1).tolist() == [3.0, 3.0]
    on_host, objects = torch.tensor(rank), [None, None]
    dist.all_reduce(on_host, group=host, async_op=True).wait()
    take_log()
    dist.all_gather_object(objects, rank, group=host)
    assert on_host == 1 and objects == [0, 1] and kinds() == ['other ranks']
    dist.barrier()
    assert kinds() == ['other ranks', 'device']
    for mistake, message in [
        (lambda: dist.all_reduce(on_host), 'No backend type associated with device type cpu'),
        (lambda: dist.all_reduce(x, group=host), "a tensor on gpu, in the host's group"),
        (lambda: dist.all_reduce(both[::2]), 'Tensors must be contiguous'),
    ]:
        with pytest.raises(DeviceError, match=message):
            mistake()


@pytest.mark.parametrize('rule', [refuses, logs_waits, counts_kernels, copies_are_late, host_memory_is_left_alone,
                                  streams_wait_for_each_other, memory_is_not_freed_too_early,
                                  workers_waits_are_told_apart, trains])
def test_the_device(rule):
    pretending(rule)


def test_collectives():
    pretending(communicates, num_ranks=2)


def test_torch_load_puts_all_tensors_on_the_device(tmp_path):
    pretending(loads, tmp_path / 'tensors.pt')
