"""What the CPU and devices without streams do; the pretend GPU has the rest (tests/pretend_gpu)."""
import torch

from pic_plugin.rows.transfer import Transfers


def test_on_the_cpu_nothing_is_copied():
    transfers = Transfers(torch.device('cpu'))
    memory = transfers.host_empty((2, 3), torch.float64)
    assert memory.shape == (2, 3) and memory.dtype == torch.float64 and not memory.is_pinned()
    assert transfers.send(memory).get() is memory
    assert transfers.post(memory).arrive() is memory
    assert transfers.send_together([memory])[0] is memory
    transfers.use_in_this_thread()


def test_a_device_without_streams():
    transfers = Transfers(torch.device('meta'))
    assert transfers.send(torch.ones(3)).get().device.type == 'meta'
    sent = transfers.send_together([torch.ones(3), torch.ones(2).bool()])
    assert [tensor.device.type for tensor in sent] == ['meta', 'meta']
