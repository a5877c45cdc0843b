"""Which files are the images of a data set."""
import io
import os
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator

from mmengine.fileio import LocalBackend, get, get_file_backend

from .archives import ArchiveBackend

# what OpenCV or Pillow decodes, as installed by pip
IMAGE_EXTENSIONS = ('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.apng', '.webp', '.avif', '.gif', '.bmp', '.tif',
                    '.tiff', '.jp2', '.ppm', '.pgm', '.pbm', '.pnm')


def images_below(folder: str, extensions: tuple[str, ...], visited: set[str], left_out: Counter) -> Iterator[str]:
    """The names of all images below a folder, relative to it, sorted.

    Links are followed, and each folder is listed once, by whatever names it can be reached: no image comes twice, and
    loops end.  What is hidden, its name starting with a dot, is left out.

    Args:
        folder: of the local disk, or of another of mmengine's file backends.
        extensions: of the images, in lower case.
        visited: the real paths of the local folders listed so far; those of this one are added.
        left_out: what is left out is counted here, by kind.

    Raises:
        ValueError: if there is no such folder.
    """
    backend = get_file_backend(folder, enable_singleton=True)
    if isinstance(backend, LocalBackend):
        if not os.path.isdir(folder):
            raise ValueError(f'there is no folder {folder!r}' if not os.path.exists(folder) else
                             f'{folder!r} is no folder, and no pack, zip file or LMDB data base')
        yield from _local_images(folder, extensions, visited, left_out)
        return
    names = backend.list_dir_or_file(folder, list_dir=False, recursive=True)
    for name in names if isinstance(backend, ArchiveBackend) else sorted(names):  # an archive's are, and are many
        if name.startswith('.') or '/.' in name:
            left_out['hidden'] += 1
        elif name.lower().endswith(extensions):
            yield name
        else:
            left_out[_kind(name)] += 1


def _local_images(folder: str, extensions: tuple[str, ...], visited: set[str], left_out: Counter) -> Iterator[str]:
    """One folder after the other, in the order of the names with all their parts: none is held for longer."""
    below = [iter([('', os.path.realpath(folder))])]
    while below:
        name, real = next(below[-1], (None, ''))
        if name is None:
            below.pop()
        elif not name or name.endswith('/'):
            if real in visited:
                left_out['links to folders that are listed already'] += 1
                continue
            visited.add(real)
            try:
                below.append(iter(_entries(folder, name, real, extensions, left_out)))
            except PermissionError:
                left_out['folders without permission to read'] += 1
        else:
            yield name


def _entries(folder: str, below: str, real: str, extensions: tuple[str, ...],
             left_out: Counter) -> list[tuple[str, str]]:
    """Of a folder ``below`` the other: names of folders, which end with a slash, with their real paths, and of images.

    So they are in the order of whatever lies in these folders.
    """
    found = []
    with os.scandir(os.path.join(folder, below)) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith('.'):
                left_out['hidden'] += 1
                continue
            try:
                if entry.is_dir():
                    path = os.path.join(real, name)
                    found.append((f'{below}{name}/', os.path.realpath(path) if entry.is_symlink() else path))
                elif not entry.is_file():  # links, which would be opened in vain, and pipes, which would never open
                    left_out['links to nothing, or no files'] += 1
                elif name.lower().endswith(extensions):
                    found.append((below + name, ''))
                else:
                    left_out[_kind(name)] += 1
            except OSError:  # links to themselves, and to where one may not look
                left_out['links to nothing, or no files'] += 1
    found.sort()
    return found


def _kind(name: str) -> str:
    return os.path.splitext(name)[1].lower() or 'without a suffix'


def images_named_in(path: str, folder: str, with_label: bool = False) -> Iterator[bytes]:
    """The lines of a file, but empty ones: names are bytes, of whatever encoding.

    Args:
        path: of the file, for any of mmengine's file backends.
        folder: which is taken off names that start with it.
        with_label: whether a label, which is not read, and a blank stand behind each name.
    """
    local = isinstance(get_file_backend(path, enable_singleton=True), LocalBackend)
    prefix = os.fsencode(os.path.join(folder, ''))
    with open(path, 'rb') if local else io.BytesIO(get(path)) as lines:
        for line in lines:
            name = line.rstrip(b'\r\n').removeprefix(BOM_UTF8)  # which some editors write at the start
            if with_label:
                name = name.rsplit(b' ', 1)[0]
            if name.startswith(b'/') and name.startswith(prefix) and name[len(prefix):len(prefix) + 1] != b'/':
                name = name[len(prefix):]
            if name:
                yield name


def printable(text: str) -> str:
    """The text with bytes that are no UTF-8, of a file's name, written out: logs could not be written with them."""
    return text.encode('utf-8', 'backslashreplace').decode()
