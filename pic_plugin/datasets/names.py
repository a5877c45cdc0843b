"""Very many names in little memory: 9 bytes for each besides the name itself, and no Python object."""
import mmap
import os
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Optional, Union, overload

import numpy as np

_CHUNK = 65536  # names that are objects at the same time
_BLOB, _ENDS = 'names', 'ends'  # files


class Names(Sequence[bytes]):
    """Names, each of them any bytes.

    They may be in memory, or in a file that is mapped into it: all processes of a machine see the same pages of that.

    Args:
        blob: the names, each behind a NUL.
        ends: int64, where in the blob each of them ends.
    """

    def __init__(self, blob: Union[bytes, memoryview], ends: Union[bytes, memoryview]) -> None:
        self.blob = memoryview(blob)
        self.ends = numbers(ends, 'q')

    @classmethod
    def of(cls, names: Iterable[bytes]) -> 'Names':
        """Names in memory."""
        pieces = list(_pieces(names))
        return cls(b''.join(blob for blob, _ in pieces), b''.join(ends for _, ends in pieces))

    @classmethod
    def read(cls, folder: Path) -> 'Names':
        """What :meth:`write` wrote; the files may be removed once they are read."""
        return cls(_mapped(folder / _BLOB), _mapped(folder / _ENDS))

    @staticmethod
    def write(names: Iterable[bytes], folder: Path) -> None:
        """Write names, as they come, into two files of a folder."""
        with (folder / _BLOB).open('wb') as blobs, (folder / _ENDS).open('wb') as all_ends:
            for blob, ends in _pieces(names):
                blobs.write(blob)
                all_ends.write(ends)

    def blob_of(self, start: int, stop: int) -> memoryview:
        """uint8, the names of this range, each behind a NUL."""
        return self.blob[self.ends[start - 1] if start else 0:self.ends[stop - 1] if stop else 0]

    def place(self, name: str) -> int:
        """Of names that are sorted as text: how many come before this one."""
        return bisect_left(self, name, key=os.fsdecode)

    def find(self, name: str) -> Optional[int]:
        """Of names that are sorted as text: the index of this one, None if it is not there."""
        place = self.place(name)
        return place if place < len(self) and self[place] == os.fsencode(name) else None

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> bytes:
        ...

    @overload
    def __getitem__(self, index: slice) -> 'Names':
        ...

    def __getitem__(self, index: Union[int, slice]) -> Union[bytes, 'Names']:
        if isinstance(index, slice):
            return Names.of(self[i] for i in range(*index.indices(len(self))))
        end = self.ends[index]
        return bytes(self.blob[self.ends[index - 1] + 1 if index % len(self) else 1:end])

    def __iter__(self) -> Iterator[bytes]:
        start = 1
        for first in range(0, len(self), _CHUNK):
            for end in self.ends[first:first + _CHUNK].tolist():
                yield bytes(self.blob[start:end])
                start = end + 1

    def __reduce__(self) -> tuple:
        return Names, (bytes(self.blob), bytes(self.ends))

    def __deepcopy__(self, memo: Any) -> 'Names':
        return self  # nothing changes it


def numbers(content: Union[bytes, memoryview], kind: Literal['q', 'I']) -> memoryview:
    """Numbers from bytes that need not be aligned, and are quicker to get one by one than an array's.

    Args:
        content: bytes.
        kind: of the numbers, as :mod:`array` calls it.
    """
    view = memoryview(content)
    return view.cast('B').cast(kind) if view.nbytes else memoryview(array(kind))  # nothing cannot be cast


def most_frequent(names: Callable[[], Iterable[bytes]], count: int) -> tuple[Optional[bytes], int]:
    """The name that comes most often, and how often: None and 1 if each comes once.

    It takes 16 bytes a name: what is compared is hashes, and of the names those alone whose hashes agree.

    Args:
        names: gives them, one after the other, each time that it is called.
        count: of them.
    """
    hashes = np.fromiter(map(hash, names()), np.int64, count)
    values, counts = np.unique(hashes, return_counts=True)
    for value in values[counts > 1][np.argsort(-counts[counts > 1], kind='stable')]:
        alike = set(np.flatnonzero(hashes == value).tolist())
        name, times = Counter(name for i, name in enumerate(names()) if i in alike).most_common(1)[0]
        if times > 1:
            return name, times
    return None, 1


def _pieces(names: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """The blob and the ends, in pieces."""
    end, rest = 0, iter(names)
    while chunk := list(islice(rest, _CHUNK)):
        ends = end + np.cumsum(np.fromiter(map(len, chunk), np.int64, len(chunk)) + 1)
        end = int(ends[-1])
        yield b'\0' + b'\0'.join(chunk), ends.tobytes()


def _mapped(path: Path) -> memoryview:
    with path.open('rb') as file:
        # a file without anything in it cannot be mapped
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b'')
