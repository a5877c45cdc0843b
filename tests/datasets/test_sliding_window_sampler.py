import pickle
from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pic_plugin.datasets import SlidingWindowSampler
from pic_plugin.functional.windows import stream_samples

MODULE = 'pic_plugin.datasets.sliding_window_sampler'


def sampler(num_samples, *args, rank=0, world_size=1, **kwargs):
    with patch(f'{MODULE}.get_dist_info', return_value=(rank, world_size)):
        return SlidingWindowSampler(range(num_samples), *args, **kwargs)


def epoch_of(samplers, epoch):
    """The samples of all ranks, in the order of the stream."""
    parts = []
    for each in samplers:
        each.set_epoch(epoch)
        parts.append(list(each))
        assert len(parts[-1]) == len(each)
    return [index for together in zip(*parts) for index in together]


@given(st.integers(5, 40), st.integers(1, 5), st.booleans())
def test_epochs_of_all_ranks_are_the_stream(num_samples, world_size, reshuffle):
    samplers = [sampler(num_samples, 5, 2, seed=3, reshuffle=reshuffle, rank=rank, world_size=world_size)
                for rank in range(world_size)]
    indices = [index for epoch in range(4) for index in epoch_of(samplers, epoch)]
    stream = stream_samples(torch.arange(len(indices)), num_samples, 5, 2, 3, reshuffle)
    assert indices == stream.tolist()  # nothing lost, nothing repeated
    length = -(-num_samples // world_size) * world_size
    assert len(indices) == 4 * length and num_samples <= length < num_samples + world_size
    # each visit has a key of its own for its augmentations, which does not depend on the ranks
    assert len({index.key for index in indices}) == len(indices)
    alone = sampler(num_samples, 5, 2, seed=3, reshuffle=reshuffle)
    assert [i.key for i in indices[:num_samples]] == [i.key for i in epoch_of([alone], 0)]


def test_is_a_pure_function_of_seed_and_epoch():
    one, other = (sampler(50, 10, 5, seed=1) for _ in range(2))
    epoch_of([other], 3)
    assert epoch_of([one], 2) == epoch_of([other], 2) != epoch_of([one], 3)
    assert epoch_of([one], 2) != epoch_of([sampler(50, 10, 5, seed=2)], 2)


def test_none_is_the_epoch_based_order():
    whole = sampler(30, None, None, seed=0)
    assert (whole.window_size, whole.window_stride) == (30, 30)
    epochs = [epoch_of([whole], epoch) for epoch in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(30))
    assert epochs[0] != epochs[1]


def test_defaults_are_the_papers():
    assert (sampler(200000).window_size, sampler(200000).window_stride) == (131072, 16384)


def test_ranks_agree_on_a_seed():
    with patch(f'{MODULE}.sync_random_seed', return_value=77):
        assert sampler(20, 5, 5).seed == 77


def test_index_travels_to_workers():
    index = next(iter(sampler(20, 5, 5, seed=0)))
    copy = pickle.loads(pickle.dumps(index))
    assert (copy, copy.key) == (index, index.key)


@pytest.mark.parametrize('window_size, window_stride, message', [
    (21, 5, 'window_size must be at most the size of the data set, 20, got 21'),
    (10, 11, 'window_stride must be between 1 and window_size, 10, got 11'),
    (10, 0, 'window_stride must be between 1 and window_size, 10, got 0'),
])
def test_wrong_sizes(window_size, window_stride, message):
    with pytest.raises(ValueError, match=message):
        sampler(20, window_size, window_stride)


@pytest.mark.parametrize('start, stop', [(0, 0), (0, 3), (5, 17), (16, 25), (7, 8), (25, 25), (24, 23)])
def test_what_comes_can_be_known_before(monkeypatch, start, stop):
    monkeypatch.setattr(f'{MODULE}._CHUNK', 8)
    one = sampler(50, 20, 5, rank=1, world_size=2, seed=3)
    for epoch in (0, 3):
        one.set_epoch(epoch)
        assert one.samples(epoch, start, stop).tolist() == list(one)[start:stop]
