from collections import Counter
from itertools import pairwise, permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pic_plugin.functional.windows import permute, stream_samples

sizes = st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))).flatmap(
    lambda nw: st.tuples(st.just(nw[0]), st.just(nw[1]), st.integers(1, nw[1])))


@given(st.integers(1, 300), st.integers(-2**63, 2**63 - 1))
def test_permute_is_a_bijection(size, key):
    assert sorted(permute(torch.arange(size), size, torch.tensor(key)).tolist()) == list(range(size))


@given(st.integers(1, 300), st.integers(-2**63, 2**63 - 1))
def test_permute_can_be_undone(size, key):
    index = torch.arange(size)
    assert torch.equal(permute(permute(index, size, torch.tensor(key)), size, torch.tensor(key), inverse=True), index)


@pytest.mark.parametrize('size', [2, 3, 4])
def test_permute_gives_every_permutation_alike(size):
    num_keys = 24000
    images = permute(torch.arange(size).expand(num_keys, size), size, torch.arange(num_keys)[:, None])
    counts = Counter(map(tuple, images.tolist()))
    assert set(counts) == set(permutations(range(size)))
    expected = num_keys / len(counts)
    chi_square = sum((count - expected)**2 / expected for count in counts.values())
    assert chi_square < {1: 15.2, 5: 27.9, 23: 56.0}[len(counts) - 1]  # exceeded once in 10^4


def test_permute_forgets_where_an_element_was():
    size = 1000
    images = permute(torch.arange(size), size, torch.arange(200)[:, None]).double()
    correlation = torch.corrcoef(torch.stack([torch.arange(size).repeat(200).double(), images.flatten()]))[0, 1]
    assert abs(correlation) < 5 / (200 * size)**0.5
    neighbours = torch.corrcoef(torch.stack([images[:, :-1].flatten(), images[:, 1:].flatten()]))[0, 1]
    assert abs(neighbours) < 5 / (200 * size)**0.5


def algorithm_3(permutation, window_size, window_stride):
    """PIC's Algorithm 3, without the shuffle in the window: the sets of images of its windows, one after the other."""
    start = 0
    while True:
        yield Counter(permutation[(start + i) % len(permutation)] for i in range(window_size))
        start = (start + window_stride) % len(permutation)


@given(sizes, st.integers(0, 5))
def test_windows_are_those_of_algorithm_3(sizes, seed):
    num_samples, window_size, stride = sizes
    num_windows = 3 * num_samples // stride + 2
    stream = stream_samples(torch.arange(num_windows * window_size), num_samples, window_size, stride, seed,
                            reshuffle=False)
    whole = stream_samples(torch.arange(num_samples), num_samples, num_samples, num_samples, seed, reshuffle=False)
    assert sorted(whole.tolist()) == list(range(num_samples))
    # the permutation of the data set, read off windows of one image
    permutation = stream_samples(torch.arange(num_samples), num_samples, 1, 1, seed, reshuffle=False).tolist()
    assert sorted(permutation) == list(range(num_samples))
    windows = algorithm_3(permutation, window_size, stride)
    for i in range(num_windows):
        assert Counter(stream[i * window_size:(i + 1) * window_size].tolist()) == next(windows)


@given(sizes, st.integers(0, 10**6), st.integers(-2**63, 2**63 - 1))
def test_no_image_twice_in_a_window(sizes, window, seed):
    num_samples, window_size, stride = sizes
    places = torch.arange(window * window_size, (window + 1) * window_size)
    assert len(set(stream_samples(places, num_samples, window_size, stride, seed).tolist())) == window_size


def test_reshuffled_passes_share_images_where_they_meet():
    num_samples, window_size, stride = 400, 200, 25
    stream = stream_samples(torch.arange(16 * window_size), num_samples, window_size, stride, 0, reshuffle=True)
    distinct = [len(window.unique()) for window in stream.split(window_size)]
    assert distinct[:9] == [200] * 9 and max(distinct[9:]) < 200  # the tenth reaches into the second pass


@given(sizes, st.booleans())
def test_visits_and_overlap(sizes, reshuffle):
    num_samples, window_size, stride = sizes
    passes = 3
    # all windows that touch the places of the first passes
    num_windows = passes * num_samples // stride + window_size // stride + 1
    stream = stream_samples(torch.arange(num_windows * window_size), num_samples, window_size, stride, 0, reshuffle)
    windows = [Counter(window.tolist()) for window in stream.split(window_size)]
    for now, then in pairwise(windows):
        shared = (now & then).total()
        # two passes may share an image by chance, where one ends and the next begins
        assert shared >= window_size - stride if reshuffle else shared == max(window_size - stride, 0) or \
            window_size + stride > num_samples


@pytest.mark.parametrize('reshuffle', [False, True])
def test_every_image_is_visited_w_over_s_times_a_pass(reshuffle):
    num_samples, window_size, stride = 60, 12, 3
    num_windows = 10 * num_samples // stride
    stream = stream_samples(torch.arange(num_windows * window_size), num_samples, window_size, stride, 4, reshuffle)
    visits = torch.bincount(stream, minlength=num_samples)
    # ten passes at W / S = 4 visits each; the stream begins and ends inside the overlap
    assert visits.sum() == num_windows * window_size
    assert visits.max() <= 40 + 3 and visits.min() >= 40 - 3
    inner = stream.view(num_windows, window_size)[num_samples // stride:2 * num_samples // stride]
    if not reshuffle:
        assert torch.equal(torch.bincount(inner.flatten(), minlength=num_samples), torch.full((num_samples, ), 4))


def test_most_visits_are_a_window_apart():
    num_samples, window_size, stride = 1024, 128, 16
    stream = stream_samples(torch.arange(10 * 8 * num_samples), num_samples, window_size, stride, 0)  # ten passes
    last, distances = {}, []
    for position, sample in enumerate(stream.tolist()):
        if sample in last:
            distances.append(position - last[sample])
        last[sample] = position
    distances = torch.tensor(distances).double()
    near = distances < 2 * window_size
    assert near.double().mean() == pytest.approx(1 - stride / window_size, abs=0.03)  # the majority ratio, gamma
    assert distances[near].mean() == pytest.approx(window_size, rel=0.02)


def test_a_window_of_everything_is_the_epoch_based_order():
    stream = stream_samples(torch.arange(300), 100, 100, 100, 1)
    for epoch in stream.split(100):
        assert sorted(epoch.tolist()) == list(range(100))
    assert not torch.equal(stream[:100], stream[100:200])


def test_any_position_can_be_asked_for_alone():
    positions = torch.randint(0, 10**12, (50, ), generator=torch.Generator().manual_seed(0))
    together = stream_samples(positions, 10**9, 131072, 16384, 5)
    alone = [int(stream_samples(position[None], 10**9, 131072, 16384, 5)) for position in positions]
    assert together.tolist() == alone


@pytest.mark.parametrize('arguments, message', [
    ((0, 1, 1), 'at least one sample'),
    ((10, 11, 1), 'window_size must be at most the size of the data set, 10, got 11'),
    ((10, 5, 6), 'window_stride must be between 1 and window_size, 5, got 6'),
    ((10, 5, 0), 'got 0'),
])
def test_wrong_sizes(arguments, message):
    with pytest.raises(ValueError, match=message):
        stream_samples(torch.arange(1), *arguments, seed=0)
