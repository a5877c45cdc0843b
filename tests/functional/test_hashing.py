import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pic_plugin.functional.hashing import Draws, hash64, uniform


def test_is_splitmix64():
    # the first outputs of SplitMix64 with seed 1234567, as its reference implementation publishes them
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    increment = 0x9E3779B97F4A7C15
    seeds = [(1234567 + i * increment) % 2**64 for i in range(3)]
    signed = torch.tensor([seed - 2**64 if seed >= 2**63 else seed for seed in seeds])
    assert [value % 2**64 for value in hash64(signed).tolist()] == expected


def test_bits_are_balanced_and_keys_independent():
    keys = torch.arange(1 << 14)
    for values in (hash64(keys), hash64(3, keys), hash64(keys, 3)):
        ones = torch.stack([(values >> bit) & 1 for bit in range(64)]).double().mean(1)
        assert (ones - 0.5).abs().max() < 5 * 0.5 / 128  # five standard deviations
        assert len(values.unique()) == len(values)
    assert not torch.equal(hash64(keys, 3), hash64(3, keys))


def test_broadcasts():
    rows, columns = torch.arange(3)[:, None], torch.arange(4)
    table = hash64(7, rows, columns)
    assert table.shape == (3, 4)
    assert table[2, 1] == hash64(7, 2, 1)


def test_uniform_is_open_and_uniform():
    values = uniform(5, torch.arange(1 << 16))
    assert values.min() > 0 and values.max() < 1
    assert abs(values.mean() - 0.5) < 5 * (1 / 12)**0.5 / 256
    assert torch.histc(values, 16, 0, 1).sub(4096).abs().max() < 5 * 62


@given(st.integers(-2**63, 2**63 - 1))
def test_draws_are_those_numbers_one_after_the_other(key):
    draws = Draws(key)
    assert [draws.uniform() for _ in range(5)] == uniform(key, torch.arange(5)).tolist()
    assert Draws(key + 2**64).uniform() == Draws(key).uniform()


def test_draws_in_ranges():
    draws, same, number = Draws(3), Draws(3), uniform(3, torch.arange(4)).tolist()
    assert draws.uniform(-2, 3) == pytest.approx(5 * number[0] - 2)
    assert draws.uniform(4, 4) == 4
    assert draws.below(7) == int(7 * number[2])
    copied = copy.deepcopy({'draws': draws})['draws']
    assert copied.uniform() == number[3] and draws.uniform() != number[3]
    assert {Draws(key).below(3) for key in range(50)} == {0, 1, 2}
    assert same.uniform() == number[0]
