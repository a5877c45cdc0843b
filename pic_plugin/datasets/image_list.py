"""All images of a data set, by their folders and their names."""
import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from typing import Any, Optional, Union, overload

from mmengine.fileio import get_file_backend

from .archives import SCHEME
from .names import Names


class ImageList(Sequence[dict]):
    """``dict(img_path=...)`` of each image.

    Args:
        names: of the images, relative to their folders.
        folders: that they lie in.
        runs: (index of the first image, place of the folder) for each run of images that lie in one folder.
        fingerprint: what :meth:`fingerprint` is, if that is known.
    """

    def __init__(self, names: Names, folders: Sequence[str], runs: Sequence[tuple[int, int]],
                 fingerprint: Optional[str] = None) -> None:
        self._fingerprint = fingerprint
        self.names = names
        self.folders = list(folders)
        self.runs = list(runs)
        self._starts = [start for start, _ in runs]
        self._joins: list[Callable[[str, str], str]] = [
            get_file_backend(folder, enable_singleton=True).join_path for folder in self.folders]

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> dict:
        ...

    @overload
    def __getitem__(self, index: slice) -> 'ImageList':
        ...

    def __getitem__(self, index: Union[int, slice]) -> Union[dict, 'ImageList']:
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        folder = self.folder_of(index)
        return {'img_path': self._joins[folder](self.folders[folder], os.fsdecode(self.names[index]))}

    def folder_of(self, index: int) -> int:
        """The place of an image's folder among ``folders``."""
        return self.runs[bisect_right(self._starts, index if index >= 0 else index + len(self)) - 1][1]

    def take(self, indices: Iterable[int]) -> 'ImageList':
        """Some of the images, in this order; their names are held in memory."""
        runs: list[tuple[int, int]] = []

        def noted() -> Iterator[bytes]:
            for number, index in enumerate(indices):
                folder = self.folder_of(index)
                if not runs or runs[-1][1] != folder:
                    runs.append((number, folder))
                yield self.names[index]

        return ImageList(Names.of(noted()), self.folders, runs)

    def paths(self) -> Iterator[bytes]:
        """The path of each image."""
        names = iter(self.names)
        for start, end, folder in self._runs_with_ends():
            prefix = os.fsencode(self._joins[folder](self.folders[folder], ''))
            for name in islice(names, end - start):
                yield name if name.startswith(b'/') else prefix + name

    def names_in(self, place: int) -> Iterator[bytes]:
        """The names of the images of one folder, which has that place among ``folders``."""
        return (self.names[i] for start, end, folder in self._runs_with_ends() if folder == place
                for i in range(start, end))

    def fingerprint(self) -> str:
        """A hash of all names and their order, relative to their folders, wherever these lie.

        Of several folders it notices that two were exchanged, as long as they keep their own names.  An archive's is
        that of the folder that it was made from.
        """
        if self._fingerprint:
            return self._fingerprint
        order = sorted(range(len(self.folders)), key=lambda folder: _from_the_end(self.folders[folder]))
        digest = sha256()
        for start, end, folder in self._runs_with_ends():
            digest.update(b'\0%d' % order.index(folder))
            digest.update(self.names.blob_of(start, end))
        self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def _runs_with_ends(self) -> Iterator[tuple[int, int, int]]:
        ends = [*self._starts[1:], len(self)]
        return ((start, end, folder) for (start, folder), end in zip(self.runs, ends))

    def __deepcopy__(self, memo: Any) -> 'ImageList':
        return self  # nothing changes it


def _from_the_end(folder: str) -> list[str]:
    """The parts of a folder's path, the last one first; the suffix of an archive is none of a folder's name."""
    if folder.startswith(SCHEME):
        folder = re.sub(r'\.(pack|zip|lmdb)(?=/|$)', '', folder.removeprefix(SCHEME))
    return folder.rstrip('/').split('/')[::-1]
