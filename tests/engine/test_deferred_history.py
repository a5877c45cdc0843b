import copy
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from pic_plugin.engine import deferred_history
from pic_plugin.engine.deferred_history import DeferredHistoryBuffer, update_scalar_later
from tests.waits import CountWaits

VALUES = torch.randn(50, generator=torch.Generator().manual_seed(0)) * 1e3


def filled(values, **kwargs):
    """Ours and mmengine's, with the same values."""
    ours, theirs = DeferredHistoryBuffer(**kwargs), HistoryBuffer(**kwargs)
    for i, value in enumerate(values):
        ours.update(value, i + 1)
        theirs.update(value.item() if isinstance(value, torch.Tensor) else value, i + 1)
    return ours, theirs


def assert_same_history(ours, theirs):
    for a, b in zip(ours.data, theirs.data):
        assert a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)


@pytest.mark.parametrize('values', [
    VALUES, VALUES.double(), VALUES.half(), VALUES.bfloat16(), VALUES[:, None],
    torch.tensor([torch.nan, torch.inf, -0.0]), [1.5, VALUES[0], 2, VALUES[1].double(), VALUES[2].half(), 2**60],
], ids=['float', 'double', 'half', 'bfloat16', 'one element', 'not finite', 'mixed'])
def test_has_the_bits_of_mmengines(values):
    assert_same_history(*filled(values))


def test_statistics_are_mmengines():
    ours, theirs = filled(VALUES)
    for name, args in (('mean', (7, )), ('mean', ()), ('min', (9, )), ('max', ()), ('current', ())):
        assert ours.statistics(name, *args) == theirs.statistics(name, *args)
        ours.update(VALUES[0])
        theirs.update(VALUES[0].item())


def test_reads_all_at_once_and_only_when_looked_at(monkeypatch):
    tolist, reads = torch.Tensor.tolist, []
    monkeypatch.setattr(torch.Tensor, 'tolist', lambda self: reads.append(self) or tolist(self))
    with CountWaits() as waits:
        ours = DeferredHistoryBuffer()
        for value in VALUES:
            ours.update(value)
        assert not reads
        assert len(ours.data[0]) == 50
        assert ours.mean() == VALUES.double().numpy().sum() / 50
    assert len(reads) == 1
    assert waits.count == 0


def test_what_is_pending_is_bounded_and_so_is_the_history(monkeypatch):
    monkeypatch.setattr(deferred_history, '_MOST_PENDING', 8)
    ours, theirs = filled(VALUES)
    assert len(ours._pending) == 8
    assert_same_history(ours, theirs)
    assert_same_history(*filled(VALUES, max_length=5))
    assert_same_history(*filled(VALUES, max_length=5, log_history=[1, 2, 3], count_history=[1, 1, 1]))


def test_takes_the_value_of_now():
    value, buffer = torch.tensor(1.0, requires_grad=True), DeferredHistoryBuffer()
    buffer.update(value)
    with torch.no_grad():
        value.add_(1)
    buffer.update(value * 1)
    assert buffer.data[0].tolist() == [1, 2]


@pytest.mark.parametrize('made_of', [copy.deepcopy, lambda buffer: pickle.loads(pickle.dumps(buffer))])
def test_a_copy_is_mmengines(made_of):
    ours, theirs = filled(VALUES, max_length=20)
    copied = made_of(ours)
    assert type(copied) is HistoryBuffer and copied.max_length == 20
    assert_same_history(copied, theirs)
    copied.update(1.0)
    assert_same_history(ours, theirs)


def test_wrong_values():
    with pytest.raises(TypeError, match='log_val must be int or float'):
        DeferredHistoryBuffer().update('1')
    with pytest.raises(RuntimeError, match="shape '\\[\\]' is invalid for input of size 2"):
        DeferredHistoryBuffer().update(torch.zeros(2))


def test_in_the_hub_it_follows_what_was_there_and_is_saved_like_it():
    ours, theirs = (MessageHub(name) for name in ('ours', 'theirs'))
    ours.load_state_dict(dict(log_scalars={'a': HistoryBuffer([4, 5], [1, 2])}, runtime_info={}, resumed_keys={
        'a': True}))
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    for i, value in enumerate(VALUES[:9]):
        for key, logged in (('a', value), ('b', value), ('c', i)):
            theirs.update_scalar(key, logged)
            if i == 5:  # as something else does that knows nothing of it
                ours.update_scalar(key, logged)
                continue
            with CountWaits() as waits:
                update_scalar_later(ours, key, logged)
            assert waits.count == (i == 0 and key != 'c')
    assert type(ours.get_scalar('c')) is HistoryBuffer
    saved, expected = ours.state_dict(), theirs.state_dict()
    assert list(saved['log_scalars']) == list(expected['log_scalars']) == ['a', 'b', 'c']
    for key, buffer in expected['log_scalars'].items():
        assert_same_history(saved['log_scalars'][key], buffer)
    assert saved['resumed_keys'] == expected['resumed_keys']
