"""Makes once what all ranks of a machine need."""
import errno
import platform
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional, TypeVar

from torch.utils.data import get_worker_info

from pic_plugin.sharding import Ranks

T = TypeVar('T')


def once_per_machine(write: Callable[[Path], tuple[str, Any]], read: Callable[[Path, Any], T]) -> T:
    """Have the first rank of each machine write files, and all of its ranks read them.  Collective.

    Args:
        write: puts files into the empty folder that it is given.  It returns a description of them, which must be the
            same on all machines, and what ``read`` needs besides them.
        read: opens the files in that folder, given what ``write`` returned.  They have no names any more when this
            function returns; what is open, or mapped into memory, stays.

    Returns:
        What ``read`` returned.

    Raises:
        OSError: if the folder for temporary files is full.
        ValueError: on all ranks, if machines differ, or a rank cannot open what its machine's first one wrote.
        Exception: what ``write`` raised, there, and a ``ValueError`` that quotes it on all other ranks.
    """
    # a loader's worker is a fork of a rank, and cannot speak for it
    ranks = Ranks() if get_worker_info() else Ranks.of_world()
    node = platform.node()
    first = ranks.all_gather_object(node).index(node)
    folder, written = None, ('', None)
    error: Optional[Exception] = None
    try:
        if ranks.rank == first:
            try:
                folder = tempfile.mkdtemp(prefix='pic_plugin-')
                written = write(Path(folder))
            except Exception as fault:
                error = fault
                if isinstance(fault, OSError) and fault.errno == errno.ENOSPC:
                    error = OSError(fault.errno, f'{fault.strerror}; set TMPDIR to a folder with more room than',
                                    folder or tempfile.gettempdir())
        outcomes = ranks.all_gather_object((folder, *written, error and f'{type(error).__name__}: {error}'))
        if error:
            raise error
        _check_same([(rank, what, problem) for rank, (there, what, _, problem) in enumerate(outcomes)
                     if there or problem])
        try:
            result = read(Path(outcomes[first][0]), outcomes[first][2])
        except OSError as fault:
            error = fault
        if any(problems := ranks.all_gather_object(error and str(error))):
            raise ValueError("a machine's ranks must share a folder for files that pass, and one cannot read what "
                             f'another wrote ({next(filter(None, problems))}); set TMPDIR to a folder of its disk that '
                             'all of them see')
        return result
    finally:
        if folder:
            shutil.rmtree(folder)


def _check_same(outcomes: list[tuple[int, str, Optional[str]]]) -> None:
    """Of the rank, the description and the fault of each machine."""
    for rank, what, problem in outcomes:
        if problem:
            raise ValueError(f'rank {rank}: {problem}')
        if what != outcomes[0][1]:
            raise ValueError(f'all machines must see the same data: rank {outcomes[0][0]} found {outcomes[0][1]}, and '
                             f'rank {rank}, on another machine, {what}')
