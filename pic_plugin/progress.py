"""Reports the progress of long work."""
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Optional, Protocol, TextIO, TypeVar

T = TypeVar('T', covariant=True)
Report = Callable[[str], None]  # a logger's ``info``

_REPORT_EVERY = 30.0  # seconds
_LOOK_EVERY = 4096  # items, where one takes less time than to look at the clock


class _SizedIterable(Protocol[T]):

    def __len__(self) -> int:
        ...

    def __iter__(self) -> Iterator[T]:
        ...


def reported(items: _SizedIterable[T], what: str, report: Optional[Report]) -> Iterator[T]:
    """``items``, one after the other; every half minute ``report`` is told how many are done, and the time left."""
    start = last = time.monotonic()
    for done, item in enumerate(items):
        if report and done and (now := time.monotonic()) - last > _REPORT_EVERY:
            report(f'{what}: {done}/{len(items)}, eta {(now - start) / done * (len(items) - done):.0f} s')
            last = now
        yield item


def counted(items: Iterable[T], what: str, report: Optional[Report]) -> Iterator[T]:
    """``items``, of which nobody knows how many there are; every half minute ``report`` is told how many came."""
    start = last = time.monotonic()
    for done, item in enumerate(items):
        if report and done % _LOOK_EVERY == 0 and (now := time.monotonic()) - last > _REPORT_EVERY:
            report(f'{what}: {done}, {done / (now - start):.0f} a second')
            last = now
        yield item
@contextmanager
def progress_bar(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """A bar with the time left, on a terminal; elsewhere a line every half minute.

    What the work itself writes to stderr is dropped meanwhile: decoders of images write there, without a name.

    Args:
        total: how many items there are.
        what: they are.

    Yields:
        Callable: to be told how many more are done.
    """
    with quiet_stderr() as stderr:
        if stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
            with Progress(TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                          console=Console(file=stderr)) as bar:
                task = bar.add_task(what, total=total)
                yield lambda number: bar.advance(task, number)
        else:
            yield _Lines(total, what, stderr)


class _Lines:
    """A line every half minute."""

    def __init__(self, total: int, what: str, file: TextIO) -> None:
        self.total, self.what, self.file, self.done = total, what, file, 0
        self.start = self.last = time.monotonic()

    def __call__(self, number: int) -> None:
        self.done += number
        if self.done and (now := time.monotonic()) - self.last > _REPORT_EVERY:
            left = (now - self.start) / self.done * (self.total - self.done)
            print(f'{self.what}: {self.done}/{self.total}, eta {left:.0f} s', file=self.file, flush=True)
            self.last = now


@contextmanager
def quiet_stderr() -> Iterator[TextIO]:
    """A file that goes where stderr goes; what else is written to file descriptor 2 goes nowhere."""
    sys.stderr.flush()
    with os.fdopen(os.dup(2), 'w') as stderr:
        silence_stderr()
        try:
            yield stderr
        finally:
            sys.stderr.flush()
            os.dup2(stderr.fileno(), 2)


def silence_stderr() -> None:
    """Send file descriptor 2, to which libraries in C write, nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
