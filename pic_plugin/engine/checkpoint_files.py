"""Which rows belong to which checkpoint, whatever both are called by now, and what of them may be removed.

Nothing is removed for its name.  What is to go is first put into a folder of our own, ``SCRATCH``; the rows that a file
in there names go with it, if they were written for that file, hold nothing else, and no other file names them.
"""
import os
import shutil
import zipfile
from pathlib import Path
from typing import Optional

from mmengine.runner import find_latest_checkpoint

from pic_plugin.checkpoints.read import load_tensors_only

from .checksums import SUMS, read_sums

SCRATCH = '.instance_checkpoint'  # beside the checkpoints: what is being written, and what is being removed
_OLD = 'old'
_POINTER = 'last_checkpoint'


def latest_checkpoint(work_dir: Path, out_dir: Optional[Path] = None) -> Optional[Path]:
    """The file that ``last_checkpoint`` names, None if there is none; in a folder that was moved, the file there.

    Args:
        work_dir: of the run.
        out_dir: of its checkpoints; the same if None.
    """
    if not (work_dir / _POINTER).is_file():
        return None
    latest = Path(find_latest_checkpoint(str(work_dir)))
    own = (out_dir or work_dir) / latest.name
    return own if own.is_file() else latest


def point_to(work_dir: Path, checkpoint: Path) -> None:
    """Have ``last_checkpoint`` lead to a file."""
    pointer = work_dir / _POINTER
    if not pointer.is_file() or pointer.read_text() != str(checkpoint):
        pointer.with_suffix('.partial').write_text(str(checkpoint))
        publish(pointer.with_suffix('.partial'), pointer)


def publish(partial: Path, path: Path) -> None:
    """Give what is complete its name; it is on the disk before the name is."""
    for folder_or_file in (*partial.rglob('*'), partial, path.parent):
        descriptor = os.open(folder_or_file, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    os.replace(partial, path)


def find_rows(checkpoint: Path, named: str, digest: str) -> Path:
    """The folder of a checkpoint's rows: the one beside it whose checksums have the checkpoint's.

    Args:
        checkpoint: a file, which may have been renamed, moved or copied with its rows.
        named: what the folder was called when both were written.
        digest: of the file.

    Raises:
        ValueError: if there is no such folder.
    """
    expected = checkpoint.parent / Path(named).name
    for folder in (expected, *sorted(path.parent for path in checkpoint.parent.glob(f'*/{SUMS}'))):
        if digest in _sums(folder).values():
            return folder
    if expected.is_dir():
        return expected  # what is wrong with it is said when it is read
    raise ValueError(f'the rows of {checkpoint} are missing: the folder {expected} was expected, or another one beside '
                     f'the file whose {SUMS} has its checksum; put it there')


def make_way(checkpoint: Path) -> Optional[Path]:
    """Prepare for ``checkpoint`` to be written again: ours is noted, so that its rows go too; another's is kept.

    Returns:
        Path: the new name of what was there, if it was not ours.
    """
    if not os.path.lexists(checkpoint):
        return None
    if _is_ours(checkpoint):
        note = checkpoint.parent / SCRATCH / _OLD / checkpoint.name
        note.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(checkpoint, note)
        except OSError:  # there are file systems without links
            shutil.copyfile(checkpoint, note)
        return None
    kept = next(path for i in range(1 << 30) if not os.path.lexists(
        path := checkpoint.with_name(f'{checkpoint.name}.kept' + (f'-{i}' if i else ''))))
    os.replace(checkpoint, kept)
    return kept


def retire(checkpoint: Path) -> None:
    """Take a checkpoint away, if we wrote it; :func:`clear_scratch` removes it with its rows."""
    if _is_ours(checkpoint):
        old = checkpoint.parent / SCRATCH / _OLD
        old.mkdir(parents=True, exist_ok=True)
        os.replace(checkpoint, old / checkpoint.name)


def clear_scratch(out_dir: Path) -> None:
    """Remove what is in ``SCRATCH`` and the rows of its checkpoints; a process that died may have left some."""
    scratch = out_dir / SCRATCH
    if not scratch.is_dir():
        return
    going = [(file.name, rows) for file in (*scratch.glob('*'), *scratch.glob(f'{_OLD}/*'))
             if (rows := _named_rows(file)) is not None]
    if going:
        kept = {_named_rows(file) for file in out_dir.iterdir()}
        for name, rows in going:
            if rows not in kept and _holds_only(out_dir / rows, name):
                os.replace(out_dir / rows, scratch / f'{rows}.old')
    shutil.rmtree(scratch)


def _is_ours(checkpoint: Path) -> bool:
    """Whether this plugin wrote the file under this name: the rows that it names have its name."""
    rows = _named_rows(checkpoint)
    return rows is not None and f'../{checkpoint.name}' in _sums(checkpoint.parent / rows)


def _holds_only(folder: Path, name: str) -> bool:
    """Whether a folder has the rows that were written for the checkpoint ``name``, and nobody's files besides."""
    sums = _sums(folder)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob('*') if not path.is_dir()}
    return f'../{name}' in sums and files <= sums.keys() | {SUMS}


def _sums(folder: Path) -> dict[str, str]:
    try:
        return read_sums(folder)
    except ValueError:
        return {}


def _named_rows(path: Path) -> Optional[str]:
    """The folder of rows that a file names; None if it is no checkpoint of ours."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return None
    try:
        return Path(load_tensors_only(path, mmap=True)['meta']['instance_rows']['folder']).name
    except (ValueError, OSError, LookupError, TypeError):
        return None
