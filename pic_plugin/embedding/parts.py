"""Long work on many images in parts, each of which is complete or not there: whoever is killed goes on."""
import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pic_plugin.whole_file import check_new, whole_file, writing_to

_WORK, _LOCK = 'work.json', 'lock'


class Part(NamedTuple):
    """What came of some consecutive images; of the unreadable ones there is no row."""
    embedding: np.ndarray  # [M, C] float32; [0, 0] if none could be read
    images: np.ndarray  # [M] int64, which image of the data set each row is of
    unreadable: np.ndarray  # [U] int64
    errors: np.ndarray  # [U] str, what was wrong with these


class Parts:
    """The parts of a file that is to be, in a folder beside it.

    Args:
        folder: theirs; see :func:`parts_of`.
        num_images: N.
        part_size: how many images make a part; the last one may have fewer.
    """

    def __init__(self, folder: Path, num_images: int, part_size: int) -> None:
        self.folder, self.num_images, self.part_size = folder, num_images, part_size

    def __len__(self) -> int:
        return -(-self.num_images // self.part_size)

    def images(self, part: int) -> range:
        """Which images a part is of."""
        return range(part * self.part_size, min((part + 1) * self.part_size, self.num_images))

    def missing(self) -> list[int]:
        """Which parts are not there yet."""
        return [part for part in range(len(self)) if not self._path(part).exists()]

    def write(self, number: int, part: Part) -> None:
        """Write a part.

        Raises:
            ValueError: if there is no room.
        """
        with whole_file(self._path(number)) as path, path.open('wb') as file:
            np.savez(file, **part._asdict())

    def read(self, number: int) -> Part:
        """Read a part."""
        with np.load(self._path(number)) as arrays:  # arrays of numbers and texts: nothing is unpickled
            return Part(**{name: arrays[name] for name in Part._fields})

    def __iter__(self) -> Iterator[Part]:
        return (self.read(number) for number in range(len(self)))

    def _path(self, number: int) -> Path:
        return self.folder / f'part-{number:07d}.npz'


def parts_folder(out: Path) -> Path:
    """Where the parts of a file are kept until it is written."""
    return out.with_name(f'{out.name}.parts')


@contextmanager
def parts_of(out: Path, num_images: int, work: dict[str, Any]) -> Iterator[Parts]:
    """The parts of ``out``, to be completed; if that succeeds, and ``out`` is written, they are removed.

    Args:
        out: the file that they are to become; it must not exist.
        num_images: N.
        work: what distinguishes this work from another, as JSON has it; with ``part_size``.

    Raises:
        ValueError: if ``out`` exists; there are parts of other work, or somebody is at it; or nothing can be written.
    """
    check_new(out)
    folder = parts_folder(out)
    with writing_to(out.parent):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / _LOCK).open('w') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is let go of whatever happens to the process
            except BlockingIOError as error:
                raise ValueError(f'another process is writing {out}; wait for it, or give another name') from error
            except OSError:  # a file system without locks
                pass
            if not (folder / _WORK).exists():
                with whole_file(folder / _WORK) as path:
                    path.write_text(json.dumps(work, indent=1))
            begun = json.loads((folder / _WORK).read_text())
            if differing := [key for key in work if begun.get(key) != work[key]]:
                raise ValueError(f'{folder} was begun with another {" and ".join(differing)}; remove it, or give '
                                 f'another name than {out}')
            yield Parts(folder, num_images, work['part_size'])
        if out.exists():
            shutil.rmtree(folder)
