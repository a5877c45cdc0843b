import pytest
import torch

from pic_plugin.rows.scratch import Scratch


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
def test_memory_is_given_out_again_once_nobody_holds_it(dtype):
    scratch, like = Scratch(), torch.empty(0, dtype=dtype)
    first = scratch.empty((3, 4), like)
    assert first.shape == (3, 4) and first.dtype == dtype
    address = first.data_ptr()
    part = first[1:]  # a view holds it as well
    del first
    second = scratch.empty((3, 4), like)
    assert second.data_ptr() != address
    del part
    assert scratch.empty((2, 6), like).data_ptr() == address


def test_a_gradient_is_held_until_it_is_dropped():
    scratch = Scratch()
    parameter = torch.nn.Parameter(torch.ones(5))

    class Twice(torch.autograd.Function):

        @staticmethod
        def forward(ctx, x):
            return 2 * x.sum()

        @staticmethod
        def backward(ctx, grad):
            return scratch.empty((5, ), grad).fill_(2)

    addresses = []
    for _ in range(2):
        Twice.apply(parameter).backward()
        addresses.append(parameter.grad.data_ptr())
        assert scratch.empty((5, ), parameter).data_ptr() != addresses[-1]
        parameter.grad = None
    assert addresses[0] == addresses[1]  # no copy was made of it, and it was given out again


def test_sizes_that_are_no_longer_asked_for_are_let_go():
    scratch, like = Scratch(), torch.empty(0)
    for size in range(1, 20):
        scratch.empty((size, ), like)
    assert len(scratch._held) + len(scratch._free) == 1
