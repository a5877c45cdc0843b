"""One optimizer for the network and one for the rows: what mmengine and mmpretrain make of them."""
import copy

import pytest
import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from pic_plugin.engine import WeightCorrectingOptimWrapper
from pic_plugin.engine.two_optimizers import TwoOptimizers
from tests.tiny import assert_same, tiny_config, trained_state, write_images

ROWS = dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=1e-2)
NETWORKS = {
    'AdamW': dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    'LARS': dict(type='LARS', lr=0.3, momentum=0.9, weight_decay=1e-4),
    'nesterov': dict(type='SGD', lr=0.1, momentum=0.9, nesterov=True),
    'Adagrad': dict(type='Adagrad', lr=0.01),  # it has a state before the first step
}


def two(network='AdamW', rows=ROWS, **changes):
    return {'optim_wrapper.optimizer': dict(NETWORKS[network], _delete_=True), 'optim_wrapper.row_optimizer': rows,
            **changes}


def run(tmp_path, name, resume=None, **changes):
    cfg = tiny_config(tmp_path / 'images', tmp_path / name, **changes)
    if resume is not None:
        cfg.load_from, cfg.resume = str(resume), True
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.mark.parametrize('network, changes', [
    *((name, {}) for name in NETWORKS),
    ('AdamW', {'optim_wrapper.paramwise_cfg': dict(bias_decay_mult=0.0, norm_decay_mult=0.0),
               'model.head.num_negatives': None}),
    ('AdamW', {'optim_wrapper.accumulative_counts': 5, 'optim_wrapper.clip_grad': dict(max_norm=0.5)}),  # within a step
])
def test_resumes_to_the_bit(tmp_path, network, changes):
    write_images(tmp_path / 'images', 23)
    changes = two(network, **changes)
    whole = run(tmp_path, 'whole', **changes)
    resumed = run(tmp_path, 'resumed', tmp_path / 'whole/epoch_2.pth', **changes)
    assert_same(trained_state(resumed), trained_state(whole))
    logged = [runner.message_hub.get_scalar('train/row_lr').data[0].tolist() for runner in (whole, resumed)]
    assert logged[0] == logged[1] and max(logged[0]) == 0.2
    rates = whole.message_hub.get_scalar('train/lr').data[0] / NETWORKS[network]['lr']
    assert rates == pytest.approx(whole.message_hub.get_scalar('train/row_lr').data[0] / 0.2)


def test_one_optimizer_with_options_resumes(tmp_path):
    """mmengine has another group then, for the log, which no parameter is in."""
    write_images(tmp_path / 'images', 23)
    changes = {'optim_wrapper.paramwise_cfg': dict(custom_keys={'head.weight': dict(lr_mult=3.0)})}
    whole = run(tmp_path, 'whole', **changes)
    resumed = run(tmp_path, 'resumed', tmp_path / 'whole/epoch_2.pth', **changes)
    assert_same(trained_state(resumed), trained_state(whole))


def test_more_epochs_go_on_with_both_rates(tmp_path):
    """See pic_plugin/engine/resumed_schedule.py."""
    write_images(tmp_path / 'images', 23)
    schedule = dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=4, convert_to_iter_based=True)
    longer = two(**{'param_scheduler': [dict(schedule, end=6)], 'train_cfg.max_epochs': 6})
    run(tmp_path, 'short', **two(param_scheduler=[schedule]))
    resumed = run(tmp_path, 'resumed', tmp_path / 'short/epoch_4.pth', **longer)
    whole = run(tmp_path, 'whole', **longer)
    for name in ('train/lr', 'train/row_lr'):
        rates = [runner.message_hub.get_scalar(name).data[0].tolist() for runner in (resumed, whole)]
        assert rates[0][-12:] == rates[1][-12:]


def test_the_learning_rates_are_scaled_both(tmp_path):
    write_images(tmp_path / 'images', 23)
    runner = run(tmp_path, 'scaled', auto_scale_lr=dict(enable=True, base_batch_size=2), **two(param_scheduler=None))
    assert runner.optim_wrapper.get_lr() == {'base_lr': [1e-3], 'lr': [2e-3, 0.4], 'row_lr': [0.4]}


def test_a_checkpoint_of_one_optimizer(tmp_path):
    write_images(tmp_path / 'images', 23)
    run(tmp_path, 'one', **{'train_cfg.max_epochs': 2})
    with pytest.raises(ValueError, match='has 1 groups of parameters, expected 2, the last of them the rows: resume '
                                         'with the optimizer, row_optimizer and paramwise_cfg'):
        run(tmp_path, 'resumed', tmp_path / 'one/epoch_2.pth', **two())


def test_layer_wise_decay_is_the_networks():
    init_default_scope('mmpretrain')
    vit = dict(type='VisionTransformer', arch=dict(embed_dims=8, num_layers=3, num_heads=2, feedforward_channels=8),
               img_size=16, patch_size=8, out_type='cls_token')
    model = MODELS.build(dict(type='PIC', backbone=vit, head=dict(type='CosineInstanceHead', in_channels=8)))
    cfg = dict(constructor='LearningRateDecayOptimWrapperConstructor', optimizer=NETWORKS['AdamW'],
               paramwise_cfg=dict(layer_decay_rate=0.5, norm_decay_mult=0.0))
    wrapper = build_optim_wrapper(model, dict(cfg, type='WeightCorrectingOptimWrapper', row_optimizer=ROWS))
    plain = build_optim_wrapper(model, dict(cfg, type='OptimWrapper'))
    *network, rows = wrapper.optimizer.param_groups
    expected = [group for group in plain.optimizer.param_groups if group['params'][0] is not model.head.weight]
    assert [(group['lr'], group['weight_decay'], id(group['params'][0])) for group in network] == [
        (group['lr'], group['weight_decay'], id(group['params'][0])) for group in expected]
    assert len({group['lr'] for group in network}) == 5  # of the embedding, three layers and the last norm
    assert rows['params'] == [model.head.weight] and (rows['lr'], rows['weight_decay']) == (0.2, 1e-2)


def small(network=torch.optim.AdamW, row_optimizer=ROWS, **kwargs):
    params = [torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.empty(0, 2))]
    return WeightCorrectingOptimWrapper(network(params, **kwargs), row_optimizer=row_optimizer), params


def test_both_step_and_forget_their_gradients():
    wrapper, (net, rows) = small()
    rows.data = torch.ones(4, 2)
    wrapper.update_params(net.sum() + rows.sum())
    assert net.tolist() == pytest.approx([1 - 1e-3 * (1 + 0.01)] * 3)
    assert rows.flatten().tolist() == pytest.approx([1 - 0.2 * 1.01] * 8)
    assert net.grad is None and rows.grad is None
    assert set(wrapper.optimizer.state) == {net, rows}


def test_the_state_is_that_of_one_optimizer():
    """As torch describes it: parameters are numbered through the groups."""
    wrapper, (net, rows) = small()
    rows.data = torch.ones(4, 2)
    wrapper.update_params(net.sum() + rows.sum())
    state = wrapper.optimizer.state_dict()
    assert [group['params'] for group in state['param_groups']] == [[0], [1]]
    assert {i: set(values) for i, values in state['state'].items()} == {
        0: {'step', 'exp_avg', 'exp_avg_sq'}, 1: {'momentum_buffer'}}
    other, (net, rows) = small()
    rows.data = torch.ones(4, 2)
    other.optimizer.load_state_dict(copy.deepcopy(state))
    torch.testing.assert_close(other.optimizer.state_dict(), state, rtol=0, atol=0)


@pytest.mark.parametrize('row_optimizer, message', [
    (dict(type='AdamW'), 'row_optimizer must be SGD: .* got AdamW$'),
    (dict(type='SGD', lr=0.1, momentum=0.9, nesterov=True), 'row_optimizer.nesterov must be left out'),
    (dict(type='SGD', lr=0.1, momentum=0.9, dampening=0.5), 'row_optimizer.dampening must be left out'),
    (dict(type='SGD', lr=0.1, maximize=True), 'row_optimizer.maximize must be left out'),
])
def test_the_rows_need_plain_sgd(row_optimizer, message):
    with pytest.raises(ValueError, match=message):
        small(row_optimizer=row_optimizer)


@pytest.mark.parametrize('shapes', [[(3, )], [(0, 2), (0, 2)]])
def test_the_rows_must_be_known(shapes):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.empty(shape)) for shape in shapes])
    with pytest.raises(ValueError, match=f'has {2 if len(shapes) == 2 else 0} parameters without elements, expected 1; '
                                         'do not freeze head.weight'):
        WeightCorrectingOptimWrapper(optimizer, row_optimizer=ROWS)


def test_without_row_optimizer_all_is_as_it_was():
    wrapper, _ = small(torch.optim.SGD, None, lr=0.1)
    assert isinstance(wrapper.optimizer, torch.optim.SGD) and not isinstance(wrapper.optimizer, TwoOptimizers)
    assert wrapper.get_lr() == OptimWrapper(wrapper.optimizer).get_lr()
