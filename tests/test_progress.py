import itertools

from pic_plugin import progress
from pic_plugin.progress import counted


def test_how_many_came_is_said_now_and_then(monkeypatch):
    clock = itertools.count(0, 20)  # seconds, of each look
    monkeypatch.setattr(progress.time, 'monotonic', lambda: next(clock))
    monkeypatch.setattr(progress, '_LOOK_EVERY', 2)
    lines = []
    assert list(counted(iter(range(9)), 'looking', lines.append)) == list(range(9))
    assert lines == ['looking: 2, 0 a second', 'looking: 6, 0 a second']
    assert list(counted(iter(range(9)), 'looking', None)) == list(range(9))
