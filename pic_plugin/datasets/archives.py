"""Images out of one large file: our packs, zip files, and LMDB data bases."""
import io
import os
import struct
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Optional, Protocol, Union

from mmengine.fileio import BaseStorageBackend, register_backend

from .names import Names
from .pack import MAGIC, Pack

SCHEME = 'packed://'
_LMDB_MAGIC = struct.pack('=I', 0xBEEFC0DE)
_LMDB_MAGIC_AT = 16
_AFTER_SLASH = chr(ord('/') + 1)  # names in a folder are sorted before the folder's own with this behind it


class Archive(Protocol):
    """A file that has many in it."""

    @property
    def names(self) -> Names:
        """Of all files, sorted as text."""

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            KeyError: if there is none of that name.
        """


class _Zip:
    """A zip file, compressed or not.

    The list of what is in it takes half a kilobyte a file, of each rank: this is for the archives that people have.
    """

    def __init__(self, path: str) -> None:
        self._zip = zipfile.ZipFile(_SharedFile(path))

    @cached_property
    def names(self) -> Names:
        # one that was added twice counts once: reading it gives the last one
        return Names.of(map(os.fsencode, sorted({name for name in self._zip.namelist() if not name.endswith('/')})))

    def read(self, name: str) -> bytes:
        return self._zip.read(name)


class _SharedFile(io.RawIOBase):
    """A file for a process and those that are forked from it: each has a position of its own."""

    def __init__(self, path: str) -> None:
        self._file = open(path, 'rb')  # noqa: SIM115
        self._size = os.fstat(self._file.fileno()).st_size
        self._position = 0

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = (0, self._position, self._size)[whence] + offset
        return self._position

    def read(self, size: Optional[int] = -1) -> bytes:
        left = max(0, self._size - self._position)
        content = os.pread(self._file.fileno(), left if size is None or size < 0 else size, self._position)
        self._position += len(content)
        return content


class _Lmdb:
    """An LMDB data base, whose keys are the names."""

    def __init__(self, path: str) -> None:
        try:
            import lmdb
        except ImportError as error:
            raise ImportError(f'{path} is an LMDB data base: pip install lmdb') from error
        # nothing is locked and nothing written, so that a forked process may go on with what its parent opened
        self._env = lmdb.open(path, readonly=True, lock=False, readahead=False, subdir=os.path.isdir(path))

    @cached_property
    def names(self) -> Names:
        with self._env.begin() as transaction:
            return Names.of(sorted(transaction.cursor().iternext(values=False), key=os.fsdecode))

    def read(self, name: str) -> bytes:
        with self._env.begin() as transaction:
            content = transaction.get(os.fsencode(name))
        if content is None:
            raise KeyError(name)
        return content


def kind_of_archive(path: str) -> Optional[Callable[[str], Archive]]:
    """What opens a file, or a folder, as an archive; None if it is none."""
    data = os.path.join(path, 'data.mdb') if os.path.isdir(path) else path
    if not os.path.isfile(data):
        return None
    with open(data, 'rb') as file:
        start = file.read(_LMDB_MAGIC_AT + len(_LMDB_MAGIC))
    if start.startswith(MAGIC):
        return Pack
    if start[_LMDB_MAGIC_AT:] == _LMDB_MAGIC:
        return _Lmdb
    return _Zip if zipfile.is_zipfile(data) else None


def _split(path: str) -> Optional[tuple[Callable[[str], Archive], str, str]]:
    """What opens the archive that a path leads to or into, that archive, and the rest of the path; None without one."""
    for end in (*(i for i, letter in enumerate(path) if letter == '/' and i), len(path)):
        if kind := kind_of_archive(path[:end]):
            return kind, path[:end], path[end:].strip('/')
        if not os.path.isdir(path[:end]):
            break
    return None


def located(path: str) -> str:
    """The path as mmengine's file backends take it: with ``packed://`` before it if it leads to or into an archive."""
    return SCHEME + path if '://' not in path and _split(path) else path


def absolute(path: str) -> str:
    """The path from the root, also one that begins with ``packed://``."""
    return SCHEME + os.path.abspath(path.removeprefix(SCHEME)) if path.startswith(SCHEME) else os.path.abspath(path)


class ArchiveBackend(BaseStorageBackend):
    """Reads ``packed://PATH/NAME``: the file NAME out of the archive PATH, a pack, a zip file or an LMDB data base.

    With ``backend_args=dict(backend='packed')`` a path needs no ``packed://``.  An archive is opened once in a process;
    those that are forked from it go on with what it opened.
    """
    _opened: ClassVar[dict[str, tuple[tuple, Archive]]] = {}
    _opening: ClassVar[threading.Lock] = threading.Lock()  # an LMDB data base can be open only once

    def get(self, filepath: Union[str, Path]) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: if there is no such archive, or no such file in it.
            ValueError: if the content, or the archive, is not what was written.
        """
        path = str(filepath).removeprefix(SCHEME)
        known = next((known for known in [*self._opened] if path.startswith(known + '/')), None)
        archive, name = self._open(path) if known is None else (self._opened[known][1], path[len(known) + 1:])
        try:
            return archive.read(name)
        except KeyError:
            raise FileNotFoundError(f'{path.removesuffix(name).rstrip("/")} has no {name!r}') from None

    def get_text(self, filepath: Union[str, Path], encoding: str = 'utf-8') -> str:
        """The content of a file of text."""
        return io.TextIOWrapper(io.BytesIO(self.get(filepath)), encoding).read()

    def exists(self, filepath: Union[str, Path]) -> bool:
        """Whether there is such a file, or such a folder."""
        return self.isfile(filepath) or self.isdir(filepath)

    def isfile(self, filepath: Union[str, Path]) -> bool:
        """Whether there is such a file in its archive."""
        try:
            archive, name = self._open(filepath)
        except FileNotFoundError:
            return False
        return archive.names.find(name) is not None

    def isdir(self, filepath: Union[str, Path]) -> bool:
        """Whether a file lies in such a folder; the archive itself is one, too."""
        try:
            return any(True for _ in self.list_dir_or_file(filepath))
        except FileNotFoundError:
            return False

    def join_path(self, filepath: Union[str, Path], *filepaths: Union[str, Path]) -> str:
        """Parts of a path, one below the other."""
        return '/'.join([str(filepath).rstrip('/'), *map(str, filepaths)])

    def list_dir_or_file(self,
                         dir_path: Union[str, Path],
                         list_dir: bool = True,
                         list_file: bool = True,
                         suffix: Union[str, tuple[str], None] = None,
                         recursive: bool = False) -> Iterator[str]:
        """What lies in a folder, or below it, sorted; of what lies below, the files only."""
        archive, below = self._open(dir_path)
        names, prefix = archive.names, below and below + '/'
        place, end = names.place(prefix), names.place(prefix[:-1] + _AFTER_SLASH) if prefix else len(names)
        while place < end:
            name = os.fsdecode(names[place])[len(prefix):]
            folder, slash, _ = name.partition('/')
            if slash and not recursive:
                if list_dir:
                    yield folder
                place = names.place(prefix + folder + _AFTER_SLASH)
                continue
            if list_file and (suffix is None or name.endswith(suffix)):
                yield name
            place += 1

    def _open(self, path: Union[str, Path]) -> tuple[Archive, str]:
        """An archive, and what the path names in it.  One that was replaced since is opened anew."""
        split = _split(str(path).removeprefix(SCHEME))
        if split is None:
            raise FileNotFoundError(f'no archive, nor a file of one: {path}')
        kind, found, name = split
        status = os.stat(found)
        identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        with self._opening:
            if self._opened.get(found, (None, ))[0] != identity:
                self._opened.pop(found, None)
                self._opened[found] = identity, kind(found)
            return self._opened[found][1], name


register_backend('packed', ArchiveBackend, prefixes='packed')
