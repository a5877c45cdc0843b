"""Many images in one file, which is complete or not there, with a checksum for each.

``MAGIC``, the images, and behind them an index: the images' names, sorted as text, each behind a NUL; int64, where each
name ends; int64, where each image ends in the file; uint32, the CRC-32 of each image.  At the end of the file stands
``_FOOTER``.  Numbers are little-endian.
"""
import fcntl
import mmap
import os
import shutil
import struct
import zlib
from collections.abc import Iterator
from io import BufferedWriter
from pathlib import Path

import numpy as np

from .names import Names, numbers

MAGIC = b'PICPACK1'
_FOOTER = struct.Struct('<8sqqqI')  # MAGIC; bytes up to the index, bytes of names, number of images; CRC of the index
_RECORD = np.dtype([('end', '<i8'), ('crc', '<u4'), ('bad', '<u4')])
_BLOCK = 1 << 24  # bytes whose checksum is computed at once
_FLUSH_BYTES = 1 << 26  # at most so much of a pack is written again after a power cut


class Pack:
    """A pack that is read, by ``pread``: forked processes share the open file and nothing else.

    Args:
        path: of the file.

    Raises:
        ValueError: if it is no pack, was cut off, or its index is not what was written.
    """

    def __init__(self, path: str) -> None:
        self._file = open(path, 'rb')  # noqa: SIM115
        size = os.fstat(self._file.fileno()).st_size
        footer = os.pread(self._file.fileno(), _FOOTER.size, max(0, size - _FOOTER.size))
        broken = ValueError(f'{path} was cut off, or altered, since tools/pack_images.py wrote it, or is no pack; pack '
                            'the images again')
        if len(footer) < _FOOTER.size:
            raise broken
        magic, images, names, count, crc = _FOOTER.unpack(footer)
        index = size - _FOOTER.size - images
        if magic != MAGIC or min(images, names, count) < 0 or index != names + count * (8 + 8 + 4):
            raise broken
        start = images // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        whole = memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ, offset=start))
        view = whole[images - start:images - start + index]
        if _crc_of_large(view) != crc:
            raise broken
        ends, offsets, crcs = names + count * 8, names + count * 16, names + count * 20
        self.names = Names(view[:names], view[names:ends])
        self._ends = numbers(view[ends:offsets], 'q')
        self._crcs = numbers(view[offsets:crcs], 'I')

    def read(self, name: str) -> bytes:
        """The image of that name.

        Raises:
            KeyError: if there is none.
            ValueError: if it is not what was written.
        """
        place = self.names.find(name)
        if place is None:
            raise KeyError(name)
        start = self._ends[place - 1] if place else len(MAGIC)
        content = os.pread(self._file.fileno(), self._ends[place] - start, start)
        if len(content) != self._ends[place] - start or zlib.crc32(content) != self._crcs[place]:
            raise ValueError('altered since it was packed')
        return content

    def altered(self) -> Iterator[str]:
        """The names of all images that are not what was written."""
        for name in map(os.fsdecode, self.names):
            try:
                self.read(name)
            except ValueError:
                yield name


class PackWriter:
    """A pack that is being written, beside its path: it gets its name once it is complete.

    What a process that died wrote of it is kept; the next one goes on behind it.

    Args:
        path: of the pack.
        what: says which images are packed, and how: only what was begun with the same is gone on with.

    Attributes:
        count (int): of the images that were written.

    Raises:
        ValueError: if the pack is there, if what is there of it was begun with something else, or another process
            writes it now.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.partial = path, path.with_name(path.name + '.partial')
        if path.exists():
            raise ValueError(f'{path} is there already; remove it, or name another file')
        self.partial.mkdir(parents=True, exist_ok=True)
        self._images = (self.partial / 'images').open('ab')
        try:
            fcntl.lockf(self._images, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise ValueError(f'another process is writing {self.partial}; wait for it, or name another file') from None
        except OSError:  # a file system without locks
            pass
        settings = self.partial / 'settings'
        if not settings.exists():
            unnamed = settings.with_suffix('.new')
            unnamed.write_text(what)
            os.replace(unnamed, settings)
        if (begun := settings.read_text()) != what:
            raise ValueError(f'{self.partial} was begun with {begun}, and now it is {what}; remove it, or name another '
                             'file')
        self._records = (self.partial / 'records').open('ab')
        ends = self._all_records()['end']
        self.count = int(np.searchsorted(ends, self._images.tell(), 'right'))
        self._end = int(ends[self.count - 1]) if self.count else len(MAGIC)
        self._records.truncate(self.count * _RECORD.itemsize)
        self._images.truncate(self._end if self.count else 0)
        if not self.count:
            self._images.write(MAGIC)
        self._unwritten: list[bytes] = []  # records of images that may not be on the disk yet
        self._flushed_end = self._end

    def add(self, image: bytes, bad: bool) -> None:
        """Write the next image, and whether it cannot be decoded."""
        self._images.write(image)
        self._end += len(image)
        self._unwritten.append(np.array((self._end, zlib.crc32(image), bad), _RECORD).tobytes())
        self.count += 1
        if self._end - self._flushed_end > _FLUSH_BYTES:
            self._flush()

    def finish(self, names: Names) -> list[str]:
        """Write the index, and give the pack its name.

        Args:
            names: of the images, as they were added.

        Returns:
            list[str]: those that cannot be decoded.
        """
        self._flush()
        records, crc = self._all_records(), 0
        assert len(records) == len(names)
        for part in (names.blob, names.ends.cast('B'), records['end'].tobytes(), records['crc'].tobytes()):
            self._images.write(part)
            crc = _crc_of_large(memoryview(part), crc)
        self._images.write(_FOOTER.pack(MAGIC, self._end, len(names.blob), len(names), crc))
        self._flush()
        os.replace(self.partial / 'images', self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        self._images.close()
        self._records.close()
        shutil.rmtree(self.partial)
        return [os.fsdecode(names[i]) for i in np.flatnonzero(records['bad']).tolist()]

    def _flush(self) -> None:
        """First the images: a record says that its image is on the disk."""
        _to_disk(self._images)
        self._records.write(b''.join(self._unwritten))
        _to_disk(self._records)
        self._unwritten, self._flushed_end = [], self._end

    def _all_records(self) -> np.ndarray:
        content = (self.partial / 'records').read_bytes()
        return np.frombuffer(content[:len(content) // _RECORD.itemsize * _RECORD.itemsize], _RECORD)


def _crc_of_large(content: memoryview, crc: int = 0) -> int:
    for start in range(0, len(content), _BLOCK):
        crc = zlib.crc32(content[start:start + _BLOCK], crc)
    return crc


def _to_disk(file: BufferedWriter) -> None:
    file.flush()
    os.fsync(file.fileno())
