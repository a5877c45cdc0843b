import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pic_plugin.functional.visits import last_visits, num_visited
from pic_plugin.functional.windows import stream_samples

sizes = st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))).flatmap(
    lambda nw: st.tuples(st.just(nw[0]), st.just(nw[1]), st.integers(1, nw[1])))


def naive(sizes, length, seed, reshuffle):
    """The stream, sample by sample: when each was last there, and how many there have been."""
    last, before, counts = {}, [], []
    for position, sample in enumerate(stream_samples(torch.arange(length), *sizes, seed, reshuffle).tolist()):
        before.append(last.get(sample, -1))
        counts.append(len(last))
        last[sample] = position
    return torch.tensor(before), [*counts, len(last)]


@given(sizes, st.integers(0, 100), st.booleans())
def test_last_visits_are_those_of_the_stream(sizes, seed, reshuffle):
    num_samples, window_size, stride = sizes
    length = (4 * num_samples // stride + 2) * window_size  # more than four passes
    assert torch.equal(last_visits(torch.arange(length), *sizes, seed, reshuffle),
                       naive(sizes, length, seed, reshuffle)[0])


@given(sizes, st.integers(0, 100), st.booleans(), st.data())
def test_num_visited_is_that_of_the_stream(sizes, seed, reshuffle, data):
    num_samples, window_size, stride = sizes
    length = (num_samples // stride + 3) * window_size  # into the second pass
    counts = naive(sizes, length, seed, reshuffle)[1]
    for position in data.draw(st.lists(st.integers(0, length), min_size=1, max_size=20)):
        assert num_visited(position, *sizes, seed, reshuffle) == counts[position]


def test_places_are_looked_at_a_piece_at_a_time(monkeypatch):
    monkeypatch.setattr('pic_plugin.functional.visits._CHUNK', 3)
    sizes = 40, 30, 17
    counts = naive(sizes, 90, 1, True)[1]
    assert [num_visited(position, *sizes, 1, True) for position in range(91)] == counts


def test_far_out_where_nobody_could_have_counted():
    sizes = 10**9, 131072, 16384
    positions = torch.randint(10**10, 10**11, (100, ), generator=torch.Generator().manual_seed(0))
    last = last_visits(positions, *sizes, seed=5)
    assert torch.equal(stream_samples(last, *sizes, seed=5), stream_samples(positions, *sizes, seed=5))
    assert ((last >= 0) & (last < positions)).all()
    # nearly as many new ones as the window has moved
    assert num_visited(10**8, *sizes, seed=5) == pytest.approx(10**8 / 8, rel=0.02)


@pytest.mark.parametrize('function, where', [(last_visits, torch.arange(3)), (num_visited, 3)])
def test_wrong_sizes(function, where):
    with pytest.raises(ValueError, match='window_size must be at most the size of the data set, 10, got 11'):
        function(where, 10, 11, 1, seed=0)
