import copy
import os
import pickle
from bisect import bisect_left
from collections import Counter
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pic_plugin.datasets import names as module
from pic_plugin.datasets.names import Names, most_frequent

ANY = st.lists(st.binary(max_size=6), max_size=12)


@given(ANY, st.integers(1, 5), st.slices(12))
def test_a_list_of_bytes(tmp_path_factory, expected, chunk, part):
    folder = tmp_path_factory.mktemp('names')
    with patch.object(module, '_CHUNK', chunk):
        Names.write(iter(expected), folder)
        for names in (Names.read(folder), Names.of(expected)):
            assert list(names) == expected == [names[i] for i in range(len(names))]
            assert [names[i] for i in range(-len(names), 0)] == expected
            assert list(names[part]) == expected[part]
            assert list(pickle.loads(pickle.dumps(names))) == expected and copy.deepcopy(names) is names
            start, stop, _ = slice(part.start, part.stop).indices(len(names))
            assert bytes(names.blob_of(start, max(start, stop))) == b''.join(b'\0' + n for n in expected[start:stop])
            for outside in (len(names), -len(names) - 1):
                with pytest.raises(IndexError):
                    names[outside]


@given(ANY, st.binary(max_size=6))
def test_places_among_sorted_names(some, other):
    expected = sorted({os.fsdecode(name) for name in some})
    names = Names.of(map(os.fsencode, expected))
    for name in [*expected, os.fsdecode(other)]:
        assert names.place(name) == bisect_left(expected, name)
        assert names.find(name) == (expected.index(name) if name in expected else None)


@given(st.lists(st.sampled_from([b'', b'a', b'b', b'ab', b'\xff']), max_size=12))
def test_the_most_frequent_name(names):
    name, count = most_frequent(lambda: names, len(names))
    if len(set(names)) == len(names):
        assert (name, count) == (None, 1)
    else:
        assert names.count(name) == count == max(Counter(names).values())


def test_names_whose_hashes_agree_are_not_the_same(monkeypatch):
    monkeypatch.setattr(module, 'hash', len, raising=False)
    assert most_frequent(lambda: [b'a', b'b', b'cd'], 3) == (None, 1)
    assert most_frequent(lambda: [b'a', b'b', b'cd', b'b'], 4) == (b'b', 2)
