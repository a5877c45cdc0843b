"""The lazy path is dense SGD: head, rows and optimizer wrapper against one parameter of N rows."""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.engine import LARS

from pic_plugin.engine import WeightCorrectingOptimWrapper
from pic_plugin.models import CosineInstanceHead
from pic_plugin.sharding import Ranks
from tests.dense import DenseTable

CHANNELS, TEMPERATURE, SEED = 5, 0.3, 11
EPOCH = 20  # iterations

cases = st.fixed_dictionaries(
    dict(
        num_instances=st.integers(8, 40),
        num_negatives=st.one_of(st.none(), st.integers(6, 30)),
        batch_size=st.integers(1, 6),
        accumulative_counts=st.integers(1, 4),
        momentum=st.sampled_from([0.0, 0.5, 0.9, 0.99]),
        weight_decay=st.sampled_from([0.0, 1e-4, 1e-2]),
        lr=st.floats(1e-3, 0.3),
        clip=st.sampled_from([None, 0.05]),
        skip_every=st.sampled_from([None, 3]),
        cosine=st.booleans(),
        smoothing=st.sampled_from([0.0, 0.2]),
        uniform=st.sampled_from([0.0, 0.5]),
        margin=st.sampled_from([0.0, 0.3]),
        network=st.sampled_from([None, 'AdamW', 'LARS']),  # its optimizer, if not the rows'
        seed=st.integers(0, 1000)))


def sgd(parameters, lr, momentum, weight_decay):
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)


NETWORK_OPTIMIZERS = {
    'AdamW': lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.05),
    'LARS': lambda parameters: LARS(parameters, lr=0.1, momentum=0.9, weight_decay=1e-4, eta=0.02),
}


@settings(max_examples=25)
@given(cases)
def test_rows_and_momenta_equal_dense_sgd(case):
    num_steps = 200
    generator = torch.Generator().manual_seed(case['seed'])
    margin = case['margin'] if case['cosine'] else 0.0
    head = CosineInstanceHead(case['num_negatives'], CHANNELS, TEMPERATURE, cosine=case['cosine'],
                              label_smoothing=case['smoothing'], num_hard_classes=3,
                              uniform_smoothing=case['uniform'], margin=margin).double()
    projector = torch.nn.Parameter(torch.eye(CHANNELS, dtype=torch.float64))
    options = {name: case[name] for name in ('lr', 'momentum', 'weight_decay')}
    if not case['cosine']:
        options['lr'] *= 0.05  # nothing bounds the plain softmax's logits
    clip = None if case['clip'] is None else dict(max_norm=case['clip'])
    of_network = NETWORK_OPTIMIZERS.get(case['network'])
    wrapper = WeightCorrectingOptimWrapper(
        of_network([projector, head.weight]) if of_network else sgd([projector, head.weight], **options),
        row_optimizer=dict(type='SGD', **options) if of_network else None,
        accumulative_counts=case['accumulative_counts'], clip_grad=clip)
    wrapper.track_rows(head.weight, Ranks())
    head.allocate_rows(case['num_instances'], case['batch_size'], wrapper, Ranks(), SEED)

    dense = DenseTable(case['num_instances'], CHANNELS, case['num_negatives'], TEMPERATURE, SEED, case['cosine'],
                       case['smoothing'], 3, case['uniform'], margin)
    dense_projector = torch.nn.Parameter(torch.eye(CHANNELS, dtype=torch.float64))
    optimizer = sgd([dense.weight] if of_network else [dense_projector, dense.weight], **options)
    optimizers = [of_network([dense_projector])] if of_network else []
    optimizers.append(optimizer)
    groups = [group for each in (wrapper.optimizer, *optimizers) for group in each.param_groups]
    initial = [group['lr'] for group in groups]

    steps = 0
    for iteration in range(num_steps):
        # visits are skewed, so that some rows stay away for long, and an id may come twice
        spread = torch.rand(case['batch_size'], generator=generator)**2 * case['num_instances']
        ids = (spread.long() + iteration // 7) % case['num_instances']
        inputs = torch.randn(case['batch_size'], CHANNELS, dtype=torch.float64, generator=generator)
        for group, lr in zip(groups, initial):
            group['lr'] = lr * (1 + math.cos(math.pi * iteration / num_steps)) / 2

        if iteration % EPOCH == 0:
            head.find_hard_classes()
            if case['num_negatives'] is None:
                dense.find_hard(torch.arange(case['num_instances']))
        head.activate(ids)
        dense.visit(ids.tolist())
        if case['num_negatives'] is not None:
            dense.find_hard(ids)
        loss = head.loss((inputs @ projector)[None], ids)
        expected = dense.loss(inputs @ dense_projector, ids)
        torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-10)  # the plain softmax may reach thousands

        (expected / case['accumulative_counts']).backward()
        is_step = (iteration + 1) % case['accumulative_counts'] == 0
        skip = case['skip_every'] and is_step and (steps + iteration) % case['skip_every'] == 0
        if skip:  # what a gradient scaler does that met inf: drop the gradient, make no step
            wrapper.backward(wrapper.scale_loss(loss))
            wrapper.zero_grad()
            for each in optimizers:
                each.zero_grad()
        else:
            wrapper.update_params(loss)
            if is_step:
                steps += 1
                if case['clip'] is not None:
                    torch.nn.utils.clip_grad_norm_([dense_projector, dense.weight], case['clip'])
                for each in optimizers:
                    each.step()
                    each.zero_grad()

    assert len(wrapper.step_log) == steps
    weight, momentum = head.gather_rows()
    torch.testing.assert_close(weight, dense.weight.data, rtol=0, atol=1e-10)
    torch.testing.assert_close(projector.data, dense_projector.data, rtol=0, atol=1e-10)
    if case['momentum']:
        torch.testing.assert_close(momentum, optimizer.state[dense.weight]['momentum_buffer'], rtol=0, atol=1e-10)


def test_without_the_correction_the_oracle_would_see_it():
    """The test above can fail: rows that are written back as they are, and never caught up, are not dense SGD's."""
    head = CosineInstanceHead(4, CHANNELS, TEMPERATURE).double()
    wrapper = WeightCorrectingOptimWrapper(sgd([head.weight], 0.1, 0.9, 1e-2))
    wrapper.track_rows(head.weight, Ranks())
    head.allocate_rows(12, 2, wrapper, Ranks(), SEED)
    dense = DenseTable(12, CHANNELS, 4, TEMPERATURE, SEED)
    optimizer = sgd([dense.weight], 0.1, 0.9, 1e-2)
    for iteration in range(30):
        ids = torch.tensor([iteration, iteration + 5]) % 12
        inputs = torch.ones(2, CHANNELS, dtype=torch.float64) * torch.tensor([[1.0], [-2.0]])
        head.activate(ids)
        dense.visit(ids.tolist())
        wrapper.update_params(head.loss(inputs[None], ids))
        dense.loss(inputs, ids).backward()
        optimizer.step()
        optimizer.zero_grad()
    away = (head.allocated.rows.slots(torch.arange(12)) < 0).nonzero()[:, 0]
    as_written = head.allocated.rows.table.read(away).weight
    assert (as_written - dense.weight.data[away]).abs().max() > 1e-4
    torch.testing.assert_close(head.gather_rows()[0], dense.weight.data, rtol=0, atol=1e-10)


def test_small_crops_send_no_gradient_into_the_rows():
    head = CosineInstanceHead(None, CHANNELS, TEMPERATURE).double()
    wrapper = WeightCorrectingOptimWrapper(sgd([head.weight], 0.1, 0.9, 0))
    wrapper.track_rows(head.weight, Ranks())
    head.allocate_rows(6, 2, wrapper, Ranks(), SEED)
    dense = DenseTable(6, CHANNELS, None, TEMPERATURE, SEED)
    ids = torch.tensor([4, 1])
    large, small = (torch.randn(2, CHANNELS, dtype=torch.float64, requires_grad=True) for _ in range(2))
    head.activate(ids)
    (head.loss(large[None], ids) + head.loss(small[None], ids, train_rows=False)).backward()
    got = head.weight.grad, large.grad.clone(), small.grad.clone()
    large.grad = small.grad = None
    (dense.loss(large, ids) + dense.loss(small, ids, train_rows=False)).backward()
    for a, b in zip(got, (dense.weight.grad, large.grad, small.grad)):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_several_views_are_averaged():
    head = CosineInstanceHead(4, CHANNELS, TEMPERATURE).double()
    wrapper = WeightCorrectingOptimWrapper(sgd([head.weight], 0.1, 0.9, 0))
    wrapper.track_rows(head.weight, Ranks())
    head.allocate_rows(6, 3, wrapper, Ranks(), SEED)
    dense = DenseTable(6, CHANNELS, 4, TEMPERATURE, SEED)
    ids, views = torch.tensor([4, 1, 2]), torch.randn(2, 3, CHANNELS, dtype=torch.float64)
    head.activate(ids)
    dense.visit(ids.tolist())
    expected = (dense.loss(views[0], ids) + dense.loss(views[1], ids)) / 2
    torch.testing.assert_close(head.loss(views, ids), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('left_out', [[1], [0, 2]])
def test_samples_that_are_left_out_are_as_if_not_there(left_out):
    heads = []
    for _ in range(2):
        head = CosineInstanceHead(4, CHANNELS, TEMPERATURE).double()
        wrapper = WeightCorrectingOptimWrapper(sgd([head.weight], 0.1, 0.9, 0))
        wrapper.track_rows(head.weight, Ranks())
        head.allocate_rows(6, 3, wrapper, Ranks(), SEED)
        heads.append(head)
    ids, views = torch.tensor([4, 1, 2]), torch.randn(1, 3, CHANNELS, dtype=torch.float64)
    kept = [i for i in range(3) if i not in left_out]
    with_gap = ids.clone()
    with_gap[left_out] = -1 - ids[left_out]
    heads[0].activate(with_gap)
    heads[1].activate(ids[kept])
    losses = heads[0].loss(views, with_gap.clamp(min=-1)), heads[1].loss(views[:, kept], ids[kept])
    torch.testing.assert_close(*losses, rtol=0, atol=1e-12)
    assert heads[0].allocated.rows.slots(ids[left_out]).tolist() == [-1] * len(left_out)
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(heads[0].weight.grad, heads[1].weight.grad, rtol=0, atol=1e-12)
