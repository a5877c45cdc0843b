import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pic_plugin.evaluation.health import Measured, faults, loss_by_distance


@given(st.lists(st.tuples(st.floats(0, 20, width=32), st.integers(-1, 40)), min_size=1, max_size=30),
       st.sets(st.integers(1, 40), min_size=1, max_size=4))
def test_each_loss_counts_at_its_distance(samples, edges):
    losses, distances = zip(*samples)
    expected, edges = {}, sorted(edges)
    for loss, distance in samples:
        name = 'first_visit' if distance <= 0 else next(
            (f'within_{edge}' for edge in edges if distance <= edge), f'beyond_{edges[-1]}')
        expected.setdefault(name, []).append(loss)
    found = loss_by_distance(torch.tensor(losses), torch.tensor(distances), edges)
    assert found == pytest.approx({name: sum(values) / len(values) for name, values in expected.items()}, abs=1e-4)


WELL = Measured(1024, 300, 4.5, 1024, 10.0, {'backbone': 35.0, 'projected': 24.0})


def test_nothing_is_wrong_with_what_learns():
    assert faults(WELL) == {}


@pytest.mark.parametrize('change, kind, text', [
    ({'ranks': {'backbone': 1.3, 'projected': 20.0}}, 'rank_backbone', 'effective rank is 1.30 after 10.0 visits'),
    ({'ranks': {'backbone': 30.0, 'projected': 1.9}}, 'rank_projected', 'the projected features have collapsed'),
    ({'num_hits': 1}, 'instance_top1', 'nearest for 0.10 % of the samples, and by chance it would be for 0.10 %.  '),
    ({'num_hits': 1, 'loss': 6.92}, 'instance_top1', 'the loss is 6.92 where guessing has log 1024 = 6.93'),
    ({'num_hits': 1, 'num_classes': 65536}, 'instance_top1', 'nothing is learnt yet'),
])
def test_faults_are_named_once_there_was_time_to_learn(change, kind, text):
    measured = WELL._replace(**change)
    (found, said), = faults(measured).items()
    assert found == kind and text in said
    assert faults(measured._replace(num_visits=4.9)) == {}


@pytest.mark.parametrize('num_classes', [10, 1024, 65536, 10**6])
def test_chance_is_told_from_learning(num_classes):
    """Of hits by chance a third as many again as three standard deviations, and one, is learning."""
    by_chance = 1024 / num_classes
    for count, is_fault in ((round(by_chance), True), (math.ceil(by_chance + 3 * by_chance**0.5 + 2), False)):
        assert ('instance_top1' in faults(WELL._replace(num_hits=count, num_classes=num_classes))) == is_fault


def test_one_class_is_always_the_nearest():
    assert faults(WELL._replace(num_classes=1, num_hits=0, loss=0.0)) == {}
