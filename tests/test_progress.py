"""How far long work is said to be."""
import itertools
import os
import pty
from unittest.mock import patch

import pytest

from pic_plugin import progress
from pic_plugin.progress import counted, progress_bar


@pytest.fixture
def stderr():
    """File descriptor 2 leads to a file of the test's choice meanwhile."""
    kept = os.dup(2)
    yield lambda fd: os.dup2(fd, 2)
    os.dup2(kept, 2)
    os.close(kept)


def test_lines_where_there_is_no_terminal_and_nothing_of_the_decoders(stderr, tmp_path):
    with (tmp_path / 'log').open('w') as log, patch.object(progress, '_REPORT_EVERY', -1.0):
        stderr(log.fileno())
        with progress_bar(10, 'files') as advance:
            os.write(2, b'libpng warning: iCCP\n')
            advance(0)
            advance(4)
            advance(6)
        os.write(2, b'after\n')
    lines = (tmp_path / 'log').read_text().splitlines()
    assert [line.split(', eta ')[0] for line in lines] == ['files: 4/10', 'files: 10/10', 'after']


def test_a_bar_on_a_terminal(stderr):
    ours, theirs = pty.openpty()
    stderr(theirs)
    with progress_bar(10, 'files') as advance:
        os.write(2, b'libpng warning: iCCP\n')
        advance(10)
    os.write(2, b'after\n')
    shown = ''
    while 'after' not in shown:
        shown += os.read(ours, 1 << 16).decode()
    assert 'files' in shown and '10/10' in shown and 'iCCP' not in shown


def test_stderr_comes_back_after_an_error(stderr, tmp_path):
    with (tmp_path / 'log').open('w') as log:
        stderr(log.fileno())
        with pytest.raises(ValueError, match='mine'), progress_bar(3, 'files'):
            raise ValueError('mine')
        os.write(2, b'after\n')
    assert (tmp_path / 'log').read_text() == 'after\n'

def test_how_many_came_is_said_now_and_then(monkeypatch):
    clock = itertools.count(0, 20)  # seconds, of each look
    monkeypatch.setattr(progress.time, 'monotonic', lambda: next(clock))
    monkeypatch.setattr(progress, '_LOOK_EVERY', 2)
    lines = []
    assert list(counted(iter(range(9)), 'looking', lines.append)) == list(range(9))
    assert lines == ['looking: 2, 0 a second', 'looking: 6, 0 a second']
    assert list(counted(iter(range(9)), 'looking', None)) == list(range(9))
