import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pic_plugin.functional.weight_correction import StepLog, correct_, transition

steps = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.999), st.floats(0, 0.1)), max_size=70)


def log_of(steps):
    log = StepLog()
    for step in steps:
        log.append(*step)
    return log


def naive_product(steps):
    product = torch.eye(2, dtype=torch.float64)
    for lr, momentum, weight_decay in steps:
        # Eq. 5 as it stands: first the momentum takes in the decay, then the weight moves
        decay = torch.tensor([[1, 0], [weight_decay, momentum]], dtype=torch.float64)
        move = torch.tensor([[1, -lr], [0, 1]], dtype=torch.float64)
        product = move @ decay @ product
    return product


@given(steps)
def test_product_from_every_clock(steps):
    products = log_of(steps).product(torch.arange(len(steps) + 1))
    assert products.dtype == torch.float64
    for clock, product in enumerate(products):
        torch.testing.assert_close(product, naive_product(steps[clock:]), rtol=1e-12, atol=1e-13)


def test_of_the_present_is_the_identity_to_the_bit():
    log = log_of([(0.1, 0.9, 1e-4)] * 5)
    assert torch.equal(log.product(torch.tensor([5]))[0], torch.eye(2, dtype=torch.float64))
    weight, momentum = torch.randn(2, 3, 4)
    copies = weight.clone(), momentum.clone()
    correct_(weight, momentum, log.product(torch.full((3, ), 5)))
    assert torch.equal(weight, copies[0]) and torch.equal(momentum, copies[1])


@given(st.integers(0, 300), st.floats(1e-4, 0.5), st.floats(0, 0.99), st.floats(0, 0.01))
def test_with_a_constant_rate_it_is_the_papers_power(missed, lr, momentum, weight_decay):
    paper = torch.tensor([[1 - lr * weight_decay, -lr * momentum], [weight_decay, momentum]], dtype=torch.float64)
    product = log_of([(lr, momentum, weight_decay)] * missed).product(torch.tensor([0]))[0]
    torch.testing.assert_close(product, torch.linalg.matrix_power(paper, missed), rtol=1e-9, atol=1e-12)


@given(steps)
def test_equals_sgd_with_zero_gradient(steps):
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(4, 3, dtype=torch.float64, generator=generator)
    row = torch.nn.Parameter(table.clone())
    optimizer = torch.optim.SGD([row], lr=1, momentum=0.9)
    optimizer.state[row]['momentum_buffer'] = torch.randn(4, 3, dtype=torch.float64, generator=generator)
    weight, momentum = table.clone(), optimizer.state[row]['momentum_buffer'].clone()
    for lr, m, weight_decay in steps:
        optimizer.param_groups[0].update(lr=lr, momentum=max(m, 1e-9), weight_decay=weight_decay)
        row.grad = torch.zeros_like(row)
        optimizer.step()
    log = log_of([(lr, max(m, 1e-9), weight_decay) for lr, m, weight_decay in steps])
    correct_(weight, momentum, log.product(torch.zeros(4, dtype=torch.int64)))
    torch.testing.assert_close(weight, row.data, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(momentum, optimizer.state[row]['momentum_buffer'], rtol=1e-10, atol=1e-12)


def test_a_long_absence_under_a_schedule():
    # an inverse would fail here: the determinant of the product is 0.9^100000
    steps = [(0.03 * (1 + math.cos(math.pi * t / 100000)), 0.9, 1e-4) for t in range(100000)]
    products = log_of(steps).product(torch.tensor([0, 1, 50000, 99999]))
    for clock, product in zip((0, 1, 50000, 99999), products):
        w, u = torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
        for lr, momentum, weight_decay in steps[clock:]:
            u = momentum * u + weight_decay * w
            w = w - lr * u
        torch.testing.assert_close(product @ torch.tensor([1.0, 0.5], dtype=torch.float64), torch.stack([w, u]),
                                   rtol=1e-10, atol=0)


@given(steps)
def test_state(steps):
    log, loaded = log_of(steps), StepLog()
    loaded.load_state_dict(log.state_dict())
    for each in (log, loaded):
        each.append(0.1, 0.9, 0.01)
        each.append(0.2, 0.9, 0.01)
    clocks = torch.arange(len(log) + 1)
    assert len(loaded) == len(log) == len(steps) + 2
    assert torch.equal(loaded.product(clocks), log.product(clocks))


def test_determinant_is_the_momentum():
    matrix = transition(*torch.tensor([0.3, 0.8, 0.05], dtype=torch.float64))
    assert torch.det(matrix).item() == pytest.approx(0.8)


@pytest.mark.parametrize('step, name', [((math.nan, 0.9, 0), 'lr'), ((0.1, math.inf, 0), 'momentum'),
                                        ((0.1, 0.9, -math.inf), 'weight_decay')])
def test_not_finite(step, name):
    log = StepLog()
    with pytest.raises(ValueError, match=f'{name} of step 0 must be finite'):
        log.append(*step)
    assert len(log) == 0


@pytest.mark.parametrize('clock', [-1, 3])
def test_clock_out_of_range(clock):
    with pytest.raises(ValueError, match='clock must lie between 0 and the 2 steps'):
        log_of([(0.1, 0.9, 0)] * 2).product(torch.tensor([clock]))
