"""Files that are complete, or not there."""
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def check_new(path: Path) -> None:
    """Raise a ``ValueError`` if there is such a file or folder, whatever it leads to."""
    if os.path.lexists(path):
        raise ValueError(f'{path} exists, and is not overwritten; remove it or give another name')


@contextmanager
def whole_file(path: Path, replace: bool = False) -> Iterator[Path]:
    """Where to write a file: beside ``path``, which it becomes once it is complete and on the disk.

    Its name ends as that of ``path``, after which some libraries choose the format.  What fails leaves nothing new.

    Args:
        path: of the file.
        replace: whether it may take the place of one that is there.

    Raises:
        ValueError: if ``path`` exists and may not be replaced, or there is no room or no permission to write it.
    """
    if not replace:
        check_new(path)
    partial = path.with_name(f'.partial-{os.getpid()}-{path.name}')
    with writing_to(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            with partial.open('rb') as file:
                os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turn errors that a user can mend into a ``ValueError`` that says how."""
    try:
        yield
    except PermissionError as error:
        raise ValueError(f'there is no permission to write to {folder} ({error}); give another place') from error
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise ValueError(f'there is no room left on the disk of {folder}; make room and give the command again, or '
                             'give a place on another disk') from error
        raise
