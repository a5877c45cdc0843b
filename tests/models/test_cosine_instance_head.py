import re

import pytest
import torch

from pic_plugin.engine import WeightCorrectingOptimWrapper
from pic_plugin.functional.initial_rows import initial_rows
from pic_plugin.models import CosineInstanceHead
from pic_plugin.rows import AllRows, RecentRows
from pic_plugin.sharding import Ranks


def allocated(num_instances=20, batch_size=4, **kwargs):
    head = CosineInstanceHead(**{'in_channels': 4, 'num_negatives': 8, **kwargs})
    wrapper = WeightCorrectingOptimWrapper(torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9))
    wrapper.track_rows(head.weight, Ranks())
    head.allocate_rows(num_instances, batch_size, wrapper, Ranks(), seed=3)
    return head


def test_defaults_are_the_papers():
    head = CosineInstanceHead()
    assert (head.temperature, head.num_negatives, head.init_std, head.weight.shape[1]) == (0.2, 65536, 0.01, 128)


def test_only_k_rows_are_at_hand():
    head = allocated()
    assert isinstance(head.allocated.rows, RecentRows) and head.weight.shape == (8, 4)
    assert allocated(num_negatives=None).weight.shape == (20, 4)
    assert isinstance(allocated(num_negatives=None).allocated.rows, AllRows)
    assert allocated(num_negatives=100).weight.shape == (20, 4)  # no more than there are


def test_empty_slots_take_no_part_in_the_softmax():
    head = allocated()
    ids = torch.tensor([3, 7, 3])
    head.activate(ids)
    loss = head.loss(torch.randn(1, 3, 4), ids)
    loss.backward()
    assert loss < 12  # two classes: at most 2 / tau + log 2; the eight would bring more
    used = head.allocated.rows.slots(torch.tensor([3, 7]))
    unused = [slot for slot in range(8) if slot not in used]
    assert head.weight.grad[unused].abs().max() == 0 and head.weight.grad[used].abs().min() > 0
    same = torch.ones(1, 3, 4)
    head.weight.data[used] = 1
    assert head.loss(same, ids).item() == pytest.approx(torch.log(torch.tensor(2.0)).item(), abs=1e-5)


def test_gather_rows_before_the_first_step():
    weight, momentum = allocated().gather_rows()
    assert torch.equal(weight, initial_rows(torch.arange(20), 4, 0.01, 3))
    assert torch.equal(momentum, torch.zeros(20, 4))


def test_rows_are_no_part_of_the_state_dict():
    head = allocated()
    assert head.state_dict() == {}
    before = head.weight.clone()
    head.load_state_dict({})
    assert torch.equal(head.weight, before)


def test_half_precision_features_are_compared_in_theirs_and_summed_up_in_the_rows_precision():
    head = allocated()
    ids = torch.tensor([1, 2])
    head.activate(ids)
    features = torch.randn(1, 2, 4).bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        loss = head.loss(features, ids)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, head.loss(features.float(), ids), rtol=1e-2, atol=0)


@pytest.mark.parametrize('name', ['num_negatives', 'in_channels', 'temperature', 'num_hard_classes', 'num_instances',
                                  'init_std'])
def test_not_positive(name):
    with pytest.raises(ValueError, match=f'{name} must be positive, got 0'):
        CosineInstanceHead(**{name: 0})


@pytest.mark.parametrize('name, value, kind', [
    ('num_negatives', 4096.0, 'whole number or None'), ('num_negatives', True, 'whole number or None'),
    ('num_instances', '100', 'whole number or None'), ('in_channels', 128.0, 'whole number'),
    ('num_hard_classes', None, 'whole number'), ('temperature', '0.2', 'number'), ('temperature', None, 'number'),
    ('init_std', [0.1], 'number'), ('label_smoothing', '0.1', 'number'), ('uniform_smoothing', None, 'number'),
    ('margin', '0.35', 'number')])
def test_of_another_kind(name, value, kind):
    message = f'{name} must be a {kind}, got {value!r} ({type(value).__name__});'
    with pytest.raises(ValueError, match=re.escape(message)):
        CosineInstanceHead(**{name: value})


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_not_finite(value):
    with pytest.raises(ValueError, match=f'temperature must be positive, got {value}'):
        CosineInstanceHead(temperature=value)


def test_a_folder_that_is_a_number():
    with pytest.raises(ValueError, match='table_dir must be the name of a folder or None, got 2024; put it in quotes'):
        CosineInstanceHead(table_dir=2024)


@pytest.mark.parametrize('name', ['label_smoothing', 'uniform_smoothing', 'margin'])
@pytest.mark.parametrize('value', [-0.1, 1.0, float('nan')])
def test_part_out_of_range(name, value):
    with pytest.raises(ValueError, match=f'{name} must be in \\[0, 1\\), got {value}'):
        CosineInstanceHead(**{name: value})


def test_a_margin_between_inner_products():
    with pytest.raises(ValueError, match='margin needs cosine=True: .* got margin=0.2 with cosine=False; set margin=0'):
        CosineInstanceHead(cosine=False, margin=0.2)
    CosineInstanceHead(cosine=False, uniform_smoothing=0.8)


@pytest.mark.parametrize('num_negatives, num_classes', [(None, 20), (8, 8)])
def test_more_hard_classes_than_classes(num_negatives, num_classes):
    with pytest.raises(ValueError, match=f'num_hard_classes must be less than the {num_classes} classes of the '
                                         f'softmax, got {num_classes}'):
        allocated(num_negatives=num_negatives, label_smoothing=0.2, num_hard_classes=num_classes)
    allocated(num_negatives=num_negatives, num_hard_classes=num_classes)  # without smoothing it does not matter


def test_without_the_correction_a_row_comes_back_as_it_left():
    head = allocated(num_negatives=2, batch_size=2, weight_correction=False)
    wrapper = head.allocated.rows.optimizer
    head.activate(torch.tensor([0, 1]))
    wrapper.update_params(head.loss(torch.ones(1, 2, 4), torch.tensor([0, 1])))
    left = head.weight.detach().clone()
    head.activate(torch.tensor([2, 3]))
    wrapper.update_params(head.loss(torch.ones(1, 2, 4), torch.tensor([2, 3])))
    head.activate(torch.tensor([0, 1]))
    back = head.weight.detach()[head.allocated.rows.slots(torch.tensor([0, 1]))]
    assert torch.equal(back, left)


def test_another_number_of_instances():
    assert allocated(num_instances=20).allocated.num_instances == 20
    with pytest.raises(ValueError, match='num_instances of the head is 21, and the data set has 20 images'):
        head = CosineInstanceHead(num_instances=21)
        wrapper = WeightCorrectingOptimWrapper(torch.optim.SGD(head.parameters(), lr=0.1))
        wrapper.track_rows(head.weight, Ranks())
        head.allocate_rows(20, 4, wrapper, Ranks(), 0)


def test_fewer_negatives_than_the_batch():
    with pytest.raises(ValueError, match='num_negatives must be at least the global batch of 9 samples, got 8'):
        allocated(batch_size=9)


def test_id_out_of_range_changes_nothing():
    head = allocated()
    head.activate(torch.tensor([1, 2]))
    before = head.allocated.rows.recent.state_dict()
    with pytest.raises(ValueError, match='sample index 20 is out of range: the head has 20 rows'):
        head.activate(torch.tensor([3, 20]))
    assert all(torch.equal(before[k], v) for k, v in head.allocated.rows.recent.state_dict().items())


def test_without_the_hook():
    with pytest.raises(RuntimeError, match="add dict\\(type='InstanceRowsHook'\\) to custom_hooks"):
        CosineInstanceHead().loss(torch.randn(1, 2, 128), torch.tensor([0, 1]))
    head = allocated()
    head.activate(torch.tensor([1, 2]))
    with pytest.raises(RuntimeError, match='rows of this batch are not active'):
        head.loss(torch.randn(1, 2, 4), torch.tensor([1, 3]))


@pytest.mark.parametrize('options', [{}, {'num_negatives': None}, {'cosine': False}, {'margin': 0.1},
                                     {'uniform_smoothing': 0.1}, {'label_smoothing': 0.2, 'num_hard_classes': 2}],
                         ids=str)
@pytest.mark.parametrize('before', [[], [1, 2]])
def test_a_batch_of_which_nothing_is_left(options, before):
    """Also the first one, when no class has come yet."""
    head, features = allocated(**options), torch.randn(1, 2, 4, requires_grad=True)
    head.find_hard_classes()
    if before:
        head.activate(torch.tensor(before))
    head.activate(torch.tensor([-4, -5]))
    loss = head.loss(features, torch.tensor([-1, -1]))
    loss.backward()
    assert loss == 0 and head.weight.grad.eq(0).all() and features.grad.eq(0).all()


def test_a_loss_that_is_not_finite_stops_before_rows_are_written():
    """It is looked at when the device has long computed it: one batch late."""
    head = allocated()
    ids = torch.tensor([1, 2])
    head.activate(ids)
    head.loss(torch.full((1, 2, 4), torch.nan), ids)
    head.weight.data.fill_(torch.nan)  # what the step makes of it
    head.activate(torch.arange(3, 11))
    with pytest.raises(FloatingPointError, match='loss must be finite, got nan'):
        head.activate(torch.arange(11, 13))
    with pytest.raises(FloatingPointError, match='loss must be finite, got nan'):
        head.check_finite()
    assert head.allocated.rows.table.clocks.eq(0).all()
