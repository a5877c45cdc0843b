import copy
import gc
import os
import pickle
import queue
import threading
from unittest.mock import patch

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.runner import loops
from torch.utils.data import DataLoader, Dataset

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


@given(st.integers(5, 40), st.integers(1, 5), st.integers(1, 12), st.booleans())
def test_epochs_of_all_ranks_are_the_stream(num_samples, world_size, batch_size, reshuffle):
    samplers = [sampler(num_samples, 5, 2, seed=3, reshuffle=reshuffle, batch_size=batch_size, rank=rank,
                        world_size=world_size) for rank in range(world_size)]
    indices = [index for epoch in range(4) for index in epoch_of(samplers, epoch)]
    stream = stream_samples(torch.arange(len(indices)), num_samples, 5, 2, 3, reshuffle)
    assert indices == stream.tolist()  # nothing lost, nothing repeated
    length, batch = len(indices) // 4, world_size * batch_size
    assert length % batch == 0 and num_samples <= length < num_samples + batch
    assert [samplers[0].start_of(epoch) for epoch in range(5)] == [0, length, 2 * length, 3 * length, 4 * length]
    # each visit has a key of its own for its augmentations, which does not depend on the ranks
    assert len({index.key for index in indices}) == len(indices)
    alone = sampler(num_samples, 5, 2, seed=3, reshuffle=reshuffle)
    assert [i.key for i in indices[:num_samples]] == [i.key for i in epoch_of([alone], 0)]


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 12))
def test_rounding_up_to_batches_adds_none_to_the_loader(num_samples, world_size, batch_size):
    rounded = sampler(num_samples, None, None, 0, batch_size=batch_size, world_size=world_size)
    plain = sampler(num_samples, None, None, 0, world_size=world_size)
    assert len(DataLoader(range(num_samples), batch_size, sampler=rounded)) == \
        len(DataLoader(range(num_samples), batch_size, sampler=plain))
    assert {len(batch) for batch in DataLoader(range(num_samples), batch_size, sampler=rounded)} == {batch_size}


@given(st.integers(5, 40), st.lists(st.tuples(st.integers(1, 4), st.integers(1, 7)), min_size=2, max_size=4))
def test_the_stream_goes_on_where_ranks_and_batches_change(num_samples, runs):
    indices, position = [], 0
    for run, (world_size, batch_size) in enumerate(runs):  # two epochs each
        samplers = [sampler(num_samples, 5, 2, seed=3, rank=rank, world_size=world_size, batch_size=batch_size)
                    for rank in range(world_size)]
        for each in samplers:
            each.resume_at(2 * run, position)
        indices += epoch_of(samplers, 2 * run) + epoch_of(samplers, 2 * run + 1)
        position = samplers[0].start_of(2 * run + 2)
        assert position == len(indices)
    assert indices == stream_samples(torch.arange(position), num_samples, 5, 2, 3).tolist()


def test_is_a_pure_function_of_seed_and_epoch():
    one, other = (sampler(50, 10, 5, seed=1) for _ in range(2))
    epoch_of([other], 3)
    assert epoch_of([one], 2) == epoch_of([other], 2) != epoch_of([one], 3)
    assert epoch_of([one], 2) != epoch_of([sampler(50, 10, 5, seed=2)], 2)


class Counted(list):
    """Items that say which of them were loaded."""

    def __init__(self, num):
        super().__init__(range(num))
        self.loaded = []

    def __getitem__(self, index):
        self.loaded.append(int(index))
        return int(index), index.key


@pytest.mark.parametrize('drop_last', [False, True])
@pytest.mark.parametrize('num_iters', [0, 1, 3, 4, 9])
def test_a_loop_by_iterations_goes_on_without_loading_what_it_has_had(monkeypatch, num_iters, drop_last):
    """As mmengine's loop resumes where it knows samplers that skip; three or four iterations an epoch."""
    if not hasattr(loops._InfiniteDataloaderIterator, 'skip_iter'):
        pytest.skip("this mmengine's loop does not ask for it")
    monkeypatch.setattr(loops.time, 'sleep', lambda seconds: None)
    monkeypatch.setattr(f'{MODULE}._CHUNK', 4)

    def iterator():
        order = sampler(11, 8, 3, seed=1, batch_size=1 if drop_last else 3)
        order.num_dropped = 2 if drop_last else 0
        order.set_epoch(0)
        data = Counted(11)
        return data, loops._InfiniteDataloaderIterator(DataLoader(data, 3, sampler=order, drop_last=drop_last))

    _, unbroken = iterator()
    batches = [next(unbroken) for _ in range(num_iters + 9)]
    data, resumed = iterator()
    resumed.skip_iter(num_iters)
    for expected in batches[num_iters:]:
        assert all(map(torch.equal, next(resumed), expected))
    assert data.loaded == torch.cat([ids for ids, _ in batches[num_iters:]]).tolist()


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


SEED = 1234  # no other test's: their samplers' threads may still be at work


class Chunks:
    """What this process computes: each chunk's first position goes to ``started``, and it waits for ``may_finish``."""

    def __init__(self):
        self.started, self.may_finish, self.process = queue.Queue(), threading.Semaphore(0), os.getpid()

    def compute(self, positions, num_samples, window_size, window_stride, seed, reshuffle):
        if os.getpid() == self.process and seed == SEED:
            self.thread = threading.current_thread()
            self.started.put(int(positions[0]))
            assert self.may_finish.acquire(timeout=60)
        return stream_samples(positions, num_samples, window_size, window_stride, seed, reshuffle)


@pytest.fixture
def chunks(monkeypatch):
    chunks = Chunks()
    monkeypatch.setattr(f'{MODULE}._CHUNK', 8)
    monkeypatch.setattr(f'{MODULE}.stream_samples', chunks.compute)
    yield chunks
    chunks.may_finish.release(100)


def test_the_next_chunk_is_computed_while_one_is_handed_out(chunks):
    one = sampler(20, 5, 2, seed=SEED)
    given, started = [], []
    for epoch in range(2):
        one.set_epoch(epoch)
        indices = iter(one)
        for size, following in (8, 8), (8, 16), (4, 20):  # the next epoch's first is computed ahead, too
            chunks.may_finish.release()
            given += [next(indices) for _ in range(size)]
            while not started or started[-1] < 20 * epoch + following:
                started.append(chunks.started.get(timeout=60))
        assert next(indices, None) is None
        assert one.samples(epoch, 3, 19).tolist() == given[-17:-1]
    assert given == stream_samples(torch.arange(40), 20, 5, 2, SEED).tolist()
    assert started == [0, 8, 16, 20, 28, 36, 40]  # each once
    assert chunks.thread is not threading.current_thread()


def test_the_thread_ends_with_the_sampler(chunks):
    chunks.may_finish.release(2)
    one = sampler(20, 5, 2, seed=SEED)
    next(iter(one))
    del one
    gc.collect()
    chunks.thread.join(60)
    assert not chunks.thread.is_alive()


class Forked(Dataset):
    """Gives, in a loader's worker, all that a sampler gives."""

    def __init__(self, sampler):
        self.sampler = sampler

    def __len__(self):
        return 1

    def __getitem__(self, _):
        return list(self.sampler)


@pytest.mark.parametrize('copied', [
    lambda one: next(iter(DataLoader(Forked(one), None, num_workers=1, multiprocessing_context='fork',
                                     collate_fn=list))),
    lambda one: list(copy.deepcopy(one)), lambda one: list(pickle.loads(pickle.dumps(one)))],
    ids=['forked', 'deepcopy', 'pickle'])
def test_a_copy_does_not_wait_for_the_thread(chunks, copied):
    one = sampler(20, 5, 2, seed=SEED)
    chunks.may_finish.release()
    first = next(iter(one))
    chunks.started.get(timeout=60)
    chunks.started.get(timeout=60)  # the second one is under way now
    chunks.process = None
    there = copied(one)
    assert there == stream_samples(torch.arange(20), 20, 5, 2, SEED).tolist()
    assert (there[0], there[0].key) == (first, first.key)


@pytest.mark.parametrize('name, value', [('window_size', 1e5), ('window_size', '8'), ('window_stride', True),
                                         ('seed', 0.5), ('batch_size', 4.0), ('batch_size', None)])
def test_numbers_of_another_kind(name, value):
    with pytest.raises(ValueError, match=f'{name} must be a whole number.*, got {value!r} '):
        SlidingWindowSampler(range(20), **{'window_size': 8, 'window_stride': 4, name: value})
