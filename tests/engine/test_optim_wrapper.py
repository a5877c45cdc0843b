from itertools import combinations, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper

from pic_plugin.engine import AmpWeightCorrectingOptimWrapper, WeightCorrectingOptimWrapper
from pic_plugin.sharding import Ranks
from tests.amp import scaler_on_the_cpu
from tests.ranks import run_ranks
from tests.waits import CountWaits


def parameters():
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(3, 2)) for _ in range(2)]


def tracking(params, accumulative_counts=1, **kwargs):
    wrapper = WeightCorrectingOptimWrapper(torch.optim.SGD(params, **{'lr': 0.1, 'momentum': 0.9, **kwargs}),
                                           accumulative_counts=accumulative_counts)
    wrapper.track_rows(params[1], Ranks())
    wrapper.row_momentum = torch.zeros(3, 2)
    return wrapper


@pytest.mark.parametrize('optimizer, message', [
    (lambda p: torch.optim.AdamW(p), 'optimizer must be SGD.*got AdamW; .*row_optimizer=dict'),
    (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True), 'optimizer.nesterov must be left out'),
    (lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5), 'optimizer.dampening must be left out'),
    (lambda p: torch.optim.SGD(p, lr=0.1, maximize=True), 'optimizer.maximize must be left out'),
])
def test_only_plain_sgd(optimizer, message):
    with pytest.raises(ValueError, match=message):
        WeightCorrectingOptimWrapper(optimizer(parameters()))


def test_rows_must_be_trained():
    params = parameters()
    wrapper = WeightCorrectingOptimWrapper(torch.optim.SGD(params[:1], lr=0.1))
    with pytest.raises(ValueError, match='the optimizer must train the rows of the instance head'):
        wrapper.track_rows(params[1], Ranks())


def test_logs_the_rows_options_of_each_step():
    params = parameters()
    optimizer = torch.optim.SGD([dict(params=params[:1]), dict(params=params[1:], weight_decay=0.5)], lr=0.1,
                                momentum=0.9)
    wrapper = WeightCorrectingOptimWrapper(optimizer, accumulative_counts=2)
    wrapper.track_rows(params[1], Ranks())
    for lr in (0.1, 0.2, 0.3, 0.4):
        optimizer.param_groups[1]['lr'] = lr
        wrapper.update_params(sum(p.sum() for p in params))
    assert wrapper.step_log.state_dict()['steps'].tolist() == [[0.2, 0.9, 0.5], [0.4, 0.9, 0.5]]


@pytest.mark.parametrize('found_inf, steps', [(0.0, 1), (1.0, 0)])
def test_a_step_that_a_fused_optimizer_skips_is_not_logged(found_inf, steps):
    params = parameters()
    before = params[0].clone()
    wrapper = tracking(params, fused=True)
    sum(p.sum() for p in params).backward()
    wrapper.optimizer.grad_scale = torch.tensor(1.0)  # set by the gradient scaler while it steps
    wrapper.optimizer.found_inf = torch.tensor(found_inf)
    wrapper.optimizer.step()
    assert torch.equal(params[0], before) == bool(found_inf)
    assert len(wrapper.step_log) == steps


@pytest.mark.parametrize('fused', [False, True])
@pytest.mark.parametrize('overflow', [False, True])
def test_a_step_that_the_gradient_scaler_skips_is_not_logged(overflow, fused):
    params = parameters()
    before = params[0].clone()
    with scaler_on_the_cpu():
        wrapper = AmpWeightCorrectingOptimWrapper(
            optimizer=torch.optim.SGD(params, lr=0.1, momentum=0.9, fused=fused), loss_scale=dict(init_scale=4.0))
    wrapper.track_rows(params[1], Ranks())
    loss = sum(p.sum() for p in params)
    wrapper.update_params(loss * torch.inf if overflow else loss)
    assert len(wrapper.step_log) == (0 if overflow else 1)
    assert torch.equal(params[0], before) == overflow
    assert wrapper.state_dict()['loss_scaler']['scale'] == (2.0 if overflow else 4.0)


@pytest.mark.parametrize('clip_grad', [dict(max_norm=0.5), dict(max_norm=0.5, norm_type='inf'), dict(max_norm=1e3),
                                       dict(type='value', clip_value=0.1)])
def test_on_one_rank_clips_with_the_bits_of_mmengine(clip_grad):
    results = []
    for kind in (OptimWrapper, WeightCorrectingOptimWrapper):
        params = parameters()
        frozen = torch.nn.Parameter(torch.ones(1))
        wrapper = kind(torch.optim.SGD([*params, frozen], lr=0.1, momentum=0.9), clip_grad=dict(clip_grad))
        wrapper.message_hub = MessageHub(kind.__name__)
        if kind is WeightCorrectingOptimWrapper:
            wrapper.track_rows(params[1], Ranks())
        for _ in range(3):
            wrapper.update_params(sum((p**3).sum() for p in params))
        logged = [buffer.data[0].tolist() for buffer in wrapper.message_hub.log_scalars.values()]
        results.append([[p.tolist() for p in params], logged])
    assert results[0] == results[1]
    assert len(results[0][1]) == ('type' not in clip_grad)


def test_an_infinite_norm_may_be_an_error():
    params = parameters()
    wrapper = WeightCorrectingOptimWrapper(torch.optim.SGD(params, lr=0.1), clip_grad=dict(
        max_norm=0.5, error_if_nonfinite=True))
    wrapper.update_params(params[0].sum())
    with pytest.raises(RuntimeError, match='The total norm of order 2.0 of the gradients is inf'):
        wrapper.update_params(torch.inf * params[0].sum())


@pytest.mark.parametrize('clip_grad', [None, dict(max_norm=0.5)])
@pytest.mark.parametrize('fused', [False, True])
def test_without_a_scaler_the_host_waits_for_nothing(fused, clip_grad):
    params = parameters()
    with scaler_on_the_cpu():
        wrapper = AmpWeightCorrectingOptimWrapper(
            optimizer=torch.optim.SGD(params, lr=0.1, momentum=0.9, fused=fused), loss_scale=dict(enabled=False),
            dtype='bfloat16', clip_grad=clip_grad and dict(clip_grad))
    wrapper.track_rows(params[1], Ranks())
    for i in range(3):
        with CountWaits() as waits:
            wrapper.update_params(sum(p.sum() for p in params))
        if i:  # mmengine's log takes the first norm
            assert waits.count == 0
    assert len(wrapper.step_log) == 3


def rank_cases(world_size):
    """On which ranks something overflows in the first step, and the options."""
    spoilt = [ranks for count in range(world_size + 1) for ranks in combinations(range(world_size), count)]
    return list(product(spoilt, (False, True), (None, dict(max_norm=0.5)), (1, 2), (False, True)))


def two_steps(rank, world_size):
    """Of each case: the network and this rank's rows after two steps, the length of the log, and the scale."""
    ranks = Ranks.of_world()
    results = []
    for spoilt, fused, clip_grad, counts, adam in rank_cases(world_size):
        net, rows = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.empty(0, 2))
        sgd = dict(lr=0.1, momentum=0.9, fused=fused)
        with scaler_on_the_cpu():
            wrapper = AmpWeightCorrectingOptimWrapper(
                optimizer=torch.optim.AdamW([net, rows], fused=fused) if adam else torch.optim.SGD([net, rows], **sgd),
                row_optimizer=dict(type='SGD', **sgd) if adam else None,
                loss_scale=dict(init_scale=4.0), clip_grad=clip_grad and dict(clip_grad), accumulative_counts=counts)
        rows.data = torch.ones(3, 2)
        wrapper.track_rows(rows, ranks)
        for i in range(2 * counts):
            loss = loss_of(net, rows, rank)
            wrapper.update_params(loss * torch.inf if i == 0 and rank in spoilt else loss)
        results.append((net.detach(), rows.detach(), len(wrapper.step_log), wrapper.loss_scaler.get_scale()))
    return results


def loss_of(net, rows, rank):
    return (net * torch.tensor([1.0, -2.0])).sum() + (rank + 1) * rows[1].sum()


@pytest.mark.parametrize('world_size', [1, 2, 3])
def test_a_step_that_overflows_on_any_rank_is_skipped_by_all(world_size):
    found = run_ranks(two_steps, world_size)
    for i, (spoilt, _, clip_grad, _, adam) in enumerate(rank_cases(world_size)):
        steps = 1 if spoilt else 2
        # in one process, with the steps that are left
        net, *rows = params = [torch.nn.Parameter(torch.ones(2, dtype=torch.float64))] + [
            torch.nn.Parameter(torch.ones(3, 2, dtype=torch.float64)) for _ in range(world_size)]
        optimizers = [torch.optim.SGD(rows if adam else params, lr=0.1, momentum=0.9)]
        if adam:
            optimizers.append(torch.optim.AdamW([net]))
        for _ in range(steps):
            for optimizer in optimizers:
                optimizer.zero_grad()
            sum(loss_of(net, r, rank) for rank, r in enumerate(rows)).backward()
            net.grad /= world_size
            if clip_grad:
                torch.nn.utils.clip_grad_norm_(params, **clip_grad)
            for optimizer in optimizers:
                optimizer.step()
        for rank in range(world_size):
            rank_net, rank_rows, logged, scale = found[rank][i]
            torch.testing.assert_close(rank_net.double(), net.detach(), rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(rank_rows.double(), rows[rank].detach(), rtol=1e-6, atol=1e-6)
            assert (logged, scale) == (steps, 2.0 if spoilt else 4.0)


@given(st.integers(1, 5), st.integers(1, 14), st.data())
def test_a_step_that_is_gone_on_with_is_the_unbroken_one(counts, max_iters, data):
    """mmengine's, of a run from its first iteration on: when a step is made, and what each loss is divided by."""
    plain = OptimWrapper(torch.optim.SGD(parameters(), lr=0.1), accumulative_counts=counts)
    plain.initialize_count_status(torch.nn.Identity(), 0, max_iters)
    resumed_at = data.draw(st.integers(0, max_iters - 1))
    wrapper, made = tracking(parameters(), accumulative_counts=counts), 0
    for i in range(max_iters):
        if i == resumed_at:
            wrapper.initialize_count_status(torch.nn.Identity(), i, max_iters)
            wrapper.continue_step(made)
        scale = plain.scale_loss(torch.ones(()))
        plain._inner_count += 1
        made = 0 if plain.should_update() else made + 1
        if i >= resumed_at:
            assert wrapper.scale_loss(torch.ones(())) == scale
            wrapper._inner_count += 1
            assert wrapper.should_update() == plain.should_update()
            of = round(1 / scale.item())
            assert wrapper.step_under_way[0] == made and (not made or wrapper.step_under_way[1] == of)


def test_state_has_the_log_and_not_the_rows_momentum():
    params = parameters()
    wrapper = tracking(params)
    wrapper.update_params(sum((p**2).sum() for p in params))
    state = wrapper.state_dict()
    assert list(state['state']) == [0]
    other_params = parameters()
    other = tracking(other_params)
    other.row_momentum = torch.full((3, 2), 7.0)
    other.load_state_dict(state)
    assert torch.equal(other.optimizer.state[other_params[0]]['momentum_buffer'],
                       wrapper.optimizer.state[params[0]]['momentum_buffer'])
    assert other.row_momentum.eq(7).all()
    assert torch.equal(other.step_log.product(torch.tensor([0])), wrapper.step_log.product(torch.tensor([0])))
