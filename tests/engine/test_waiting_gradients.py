"""Gradients that wait, saved by some ranks and read by others."""
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pic_plugin.engine.checksums import write_sums
from pic_plugin.engine.waiting_gradients import load_gradients, save_gradients
from pic_plugin.functional.weight_correction import StepLog
from pic_plugin.rows import AllRows
from pic_plugin.sharding import Ranks, block_of
from tests.ranks import run_ranks

NUM_ROWS = 7


def of_rank(rank, size):
    """Rows, and a network of which one parameter has no gradient."""
    optimizer = SimpleNamespace(step_log=StepLog(), row_momentum=torch.empty(0))
    rows = AllRows(nn.Parameter(torch.empty(0, 3)), optimizer, block_of(rank, NUM_ROWS, size), 0.01, 7)
    names = {'conv': (4, 2, 3, 3), 'scale': (), 'unused': (2, )}
    return rows, {name: nn.Parameter(torch.zeros(shape)) for name, shape in names.items()}


def row_gradients():
    return torch.arange(NUM_ROWS)[:, None] + torch.arange(3) / 7


def network_gradients(rank):
    generator = torch.Generator().manual_seed(rank)
    return {'conv': torch.randn(4, 2, 3, 3, generator=generator), 'scale': torch.randn((), generator=generator)}


def save(rank, world_size, folder):
    rows, network = of_rank(rank, world_size)
    rows.weight.grad = torch.zeros_like(rows.weight)
    rows.weight.grad[:len(rows.block)] = row_gradients()[rows.block.start:rows.block.stop]
    for name, gradient in network_gradients(rank).items():
        network[name].grad = gradient
    folder.mkdir(exist_ok=True)
    write_sums(folder, {})
    save_gradients(folder, rows, network, Ranks.of_world())


def load(rank, world_size, folder, num_ranks):
    rows, network = of_rank(rank, world_size)
    network['conv'].data = network['conv'].data.contiguous(memory_format=torch.channels_last)
    load_gradients(folder, rows, network, Ranks.of_world(), num_ranks)
    expected = row_gradients()[rows.block.start:rows.block.stop]
    assert torch.equal(rows.weight.grad[:len(rows.block)], expected)
    assert rows.weight.grad[len(rows.block):].eq(0).all()
    assert network['unused'].grad is None
    assert network['conv'].grad.stride() == network['conv'].stride()
    return {name: parameter.grad for name, parameter in network.items() if parameter.grad is not None}


def average(gradients):
    return {name: sum(of_rank[name].double() for of_rank in gradients) / len(gradients) for name in ('conv', 'scale')}


@pytest.mark.parametrize('writers, readers', [(1, (1, 3)), (3, (3, 2, 1)), (2, (5, ))])
def test_as_many_ranks_have_the_same_bits_and_others_the_same_average(tmp_path, writers, readers):
    run_ranks(save, writers, tmp_path / 'rows')
    saved = [network_gradients(rank) for rank in range(writers)]
    for size in readers:
        loaded = run_ranks(load, size, tmp_path / 'rows', writers)
        if size == writers:
            assert all(torch.equal(a[name], b[name]) for a, b in zip(saved, loaded) for name in a)
        torch.testing.assert_close(average(loaded), average(saved), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('network, message', [
    ({}, 'it has conv, which was not expected'),
    ({'conv': nn.Parameter(torch.zeros(4, 2, 1, 1)), 'scale': nn.Parameter(torch.zeros(()))},
     r'conv was expected as \(4, 2, 1, 1\) torch.float32, got \(4, 2, 3, 3\)'),
])
def test_another_network(tmp_path, network, message):
    save(0, 1, tmp_path)
    with pytest.raises(ValueError, match=message):
        load_gradients(tmp_path, of_rank(0, 1)[0], network, Ranks(), 1)
