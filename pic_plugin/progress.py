"""How far long work is."""
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Optional, Protocol, TypeVar

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
