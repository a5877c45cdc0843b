"""The rows of all ranks in a checkpoint: only what has changed since the last one is written.

A checkpoint's rows are a folder of segments: ``000`` holds every row that had been visited, each one after it the rows
that changed since, so that of a large table a checkpoint writes only what is new.  What was there already is linked
into the new folder, which is thus complete by itself, whatever happens to the older ones.  Once the changes outgrow the
first segment, all of it is written anew.
"""
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from pic_plugin.rows import Rows, RowState
from pic_plugin.sharding import Block, Ranks

from .checksums import check_sums, read_sums, write_sums
from .sharded_tensors import Piece, read_pieces, write_pieces


class SavedRows(NamedTuple):
    """What a checkpoint knows of its rows."""
    folder: Path
    num_steps: int  # of the optimizer, when it was written
    segments: list[int]  # how many rows each has


def save_rows(folder: Path, rows: Rows, num_steps: int, ranks: Ranks, previous: Optional[SavedRows]) -> SavedRows:
    """Write all rows that have been visited into ``folder``, a new one.  Collective.

    Args:
        folder: on a file system that all ranks see.
        rows: settled.
        num_steps: of the optimizer up to now.
        ranks: the ranks.
        previous: the last checkpoint of this run, if it is still there.

    Returns:
        SavedRows: of the new checkpoint; when this returns on rank 0, all of it is on the disk.
    """
    segments: list[int] = []
    since = 0
    sums: Optional[dict[str, str]] = {}
    if ranks.rank == 0:
        folder.mkdir(parents=True)
    if previous is not None:
        changed = sum(len(ids) for ids in rows.changed_ids(previous.num_steps))  # or left in the same step
        changed = int(ranks.sum_(torch.tensor(changed)))
        if sum(previous.segments[1:]) + changed <= previous.segments[0]:
            if ranks.rank == 0:
                sums = _link_segments(previous.folder, folder)
            if ranks.broadcast_int(sums is not None):
                segments, since = [*previous.segments], previous.num_steps
    name = f'{len(segments):03d}'
    num_rows, new_sums = write_pieces(folder / name, _pieces(rows, since), ranks)
    if ranks.rank == 0:
        linked = sums or {}
        write_sums(folder, {**linked, **{f'{name}/{file}': digest for file, digest in new_sums.items()}})
    return SavedRows(folder, num_steps, [*segments, num_rows])


def load_rows(saved: SavedRows, block: Block, template: RowState, ranks: Ranks,
              digest: Optional[str] = None) -> Iterator[tuple[Tensor, RowState]]:
    """Ids and rows of this rank's ``block``, piece by piece; of an id that comes more than once the last one counts.

    Each piece is loaded by a collective.  Runs no code from the files.

    Args:
        saved: what was written, by any number of ranks.
        block: the rows that are wanted.
        template: rows of the shape and dtypes that are expected.
        ranks: the ranks.
        digest: of the file that the rows belong to.

    Raises:
        ValueError: if a file is missing or damaged, or the rows have another shape or dtype.
    """
    sums = read_sums(saved.folder)
    check_sums(saved.folder, sums, ranks, digest)
    for ids, fields in read_pieces(saved.folder, _of_segments(sums), block, template._asdict(), ranks):
        yield ids, RowState(**fields)


def _link_segments(old: Path, new: Path) -> Optional[dict[str, str]]:
    """Let ``new`` have the files of ``old``, which stay one and the same on the disk; returns their checksums.

    None, and nothing linked, where ``old`` is not there any more or the file system has no links.
    """
    try:
        sums = _of_segments(read_sums(old))
        for name in sums:
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(old / name, new / name)
    except (OSError, ValueError):
        for path in new.iterdir():
            shutil.rmtree(path)
        return None
    return sums


def _of_segments(sums: dict[str, str]) -> dict[str, str]:
    """The checksums of the segments' files: not of the ``.pth``, nor of gradients."""
    return {name: digest for name, digest in sums.items() if name[:1].isdigit()}


def _pieces(rows: Rows, since: int) -> Iterator[Piece]:
    for ids in rows.changed_ids(since):
        yield ids, rows.read(ids)._asdict()
