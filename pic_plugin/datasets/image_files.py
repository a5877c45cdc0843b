"""Which files are the images of a data set."""
import os
from collections import Counter
from collections.abc import Iterator

from mmengine.fileio import LocalBackend, get, get_file_backend

# what OpenCV or Pillow decodes, as installed by pip
IMAGE_EXTENSIONS = ('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.apng', '.webp', '.avif', '.gif', '.bmp', '.tif',
                    '.tiff', '.jp2', '.ppm', '.pgm', '.pbm', '.pnm')


def images_below(folder: str, extensions: tuple[str, ...], visited: set[str], left_out: Counter) -> list[str]:
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
    if not isinstance(backend, LocalBackend):
        files = iter(sorted(backend.list_dir_or_file(folder, list_dir=False, recursive=True)))
    elif os.path.isdir(folder):
        files = _files(folder, visited, left_out)
    else:
        raise ValueError(f'there is no folder {folder!r}')
    names = []
    for name in files:
        if any(part.startswith('.') for part in name.split('/')):
            left_out['hidden'] += 1
        elif name.lower().endswith(extensions):
            names.append(name)
        else:
            left_out[os.path.splitext(name)[1].lower() or 'without a suffix'] += 1
    return sorted(names)


def _files(folder: str, visited: set[str], left_out: Counter) -> Iterator[str]:
    """Names of the files below a local folder; hidden folders are given as if they were files."""
    below = ['']
    while below:
        name = below.pop()
        path = os.path.join(folder, name)
        real = os.path.realpath(path)
        if real in visited:
            left_out['links to folders that are listed already'] += 1
            continue
        visited.add(real)
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name, reverse=True)
        except PermissionError:
            left_out['folders without permission to read'] += 1
            continue
        for entry in entries:
            if not entry.name.startswith('.') and entry.is_dir():
                below.append(os.path.join(name, entry.name))
            elif entry.name.startswith('.') or entry.is_file():
                yield os.path.join(name, entry.name)
            else:  # of links, which would be opened in vain, and of pipes, which would never open
                left_out['links to nothing, or no files'] += 1


def images_named_in(path: str) -> list[str]:
    """The lines of a file, but empty ones."""
    lines = os.fsdecode(get(path)).split('\n')  # names are bytes, of whatever encoding
    return [line for line in (line.rstrip('\r') for line in lines) if line]


def printable(text: str) -> str:
    """The text with bytes that are no UTF-8, of a file's name, written out: logs could not be written with them."""
    return text.encode('utf-8', 'backslashreplace').decode()
