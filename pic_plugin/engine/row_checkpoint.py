"""The rows of all ranks, through ``torch.distributed.checkpoint``: written by all at once, read by any number.

A checkpoint's rows are a folder of segments: ``000`` holds every row that had been visited, each one after it the rows
that changed since, so that of a large table a checkpoint writes only what is new.  What was there already is linked
into the new folder, which is thus complete by itself, whatever happens to the older ones.  Once the changes outgrow the
first segment, all of it is written anew.

A segment is written in parts, of a limited number of rows of each rank: there is never a second copy of the table in
memory.  In a part, the tensors of one rank's rows are named ``<first id>-<last id>/<ids, weight, momentum or clock>``.
"""
import os
import pickle
import shutil
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Optional

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint import FileSystemReader, FileSystemWriter, metadata
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import _StorageInfo

from pic_plugin.rows import Rows, RowState
from pic_plugin.sharding import Block, Ranks

from .checksums import check_sums, read_sums, sha256, write_sums

_FIELDS = ('ids', *RowState._fields)


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
    since = -1
    sums: Optional[dict[str, str]] = {}
    if ranks.rank == 0:
        folder.mkdir(parents=True)
    if previous is not None:
        changed = sum(len(ids) for ids in rows.changed_ids(previous.num_steps))
        changed = int(ranks.sum_(torch.tensor(changed)))
        if sum(previous.segments[1:]) + changed <= previous.segments[0]:
            if ranks.rank == 0:
                sums = _link_segments(previous.folder, folder)
            if ranks.broadcast_int(sums is not None):
                segments, since = [*previous.segments], previous.num_steps
    name = f'{len(segments):03d}'
    num_rows, new_sums = _save_segment(folder / name, rows.changed_ids(since), rows, ranks)
    if ranks.rank == 0:
        linked = sums or {}
        write_sums(folder, {**linked, **{f'{name}/{file}': digest for file, digest in new_sums.items()}})
    return SavedRows(folder, num_steps, [*segments, num_rows])


def load_rows(saved: SavedRows, block: Block, template: RowState, ranks: Ranks,
              checkpoint: Optional[Path] = None) -> Iterator[tuple[Tensor, RowState]]:
    """Ids and rows of this rank's ``block``, piece by piece; of an id that comes more than once the last one counts.

    Each piece is loaded by a collective.  Runs no code from the files.

    Args:
        saved: what was written, by any number of ranks.
        block: the rows that are wanted.
        template: rows of the shape and dtypes that are expected.
        ranks: the ranks.
        checkpoint: the file that the rows belong to, where it is now.

    Raises:
        ValueError: if a file is missing or damaged, or the rows have another shape or dtype.
    """
    sums = read_sums(saved.folder)
    check_sums(saved.folder, sums, ranks, checkpoint)
    for name in sorted(sums):
        if name.endswith('/.metadata'):
            yield from _load_part((saved.folder / name).parent, block, template, ranks)


def _link_segments(old: Path, new: Path) -> Optional[dict[str, str]]:
    """Let ``new`` have the files of ``old``, which stay one and the same on the disk; returns their checksums.

    None, and nothing linked, where ``old`` is not there any more or the file system has no links.
    """
    try:
        sums = {name: digest for name, digest in read_sums(old).items() if not name.startswith('..')}
        for name in sums:
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(old / name, new / name)
    except (OSError, ValueError):
        for path in new.iterdir():
            shutil.rmtree(path)
        return None
    return sums


def _save_segment(folder: Path, pieces: Iterator[Tensor], rows: Rows, ranks: Ranks) -> tuple[int, dict[str, str]]:
    """Write pieces of ids and their rows; returns how many rows of all ranks, and all files' checksums."""
    num_rows = 0
    written: dict[str, Future] = {}
    # while a part is written, the next one is read, and the last one flushed and summed up
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as flusher:
        upcoming = reader.submit(_next_tensors, pieces, rows)
        for number in range(1 << 30):
            num_of_rank, tensors = upcoming.result()
            num_of_part = int(ranks.sum_(torch.tensor(num_of_rank)))
            if not num_of_part and number:  # the first part is there even if it is empty
                break
            upcoming = reader.submit(_next_tensors, pieces, rows)
            num_rows += num_of_part
            part = folder / f'{number:05d}'
            writer = FileSystemWriter(part, sync_files=False)
            _collective(dcp.save, tensors, storage_writer=writer, process_group=ranks.host_group)
            for file in (f'__{ranks.rank}_0.distcp', *(['.metadata'] if ranks.rank == 0 else [])):
                if (part / file).exists():
                    written[f'{part.name}/{file}'] = flusher.submit(_flush_and_sum, part / file)
    sums = {name: future.result() for name, future in written.items()}
    return num_rows, {name: digest for of_rank in ranks.all_gather_object(sums) for name, digest in of_rank.items()}


def _next_tensors(pieces: Iterator[Tensor], rows: Rows) -> tuple[int, dict[str, Tensor]]:
    """How many rows the next piece has, and its tensors by name."""
    ids = next(pieces, None)
    if ids is None:
        return 0, {}
    return len(ids), {f'{ids[0]}-{ids[-1]}/{field}': tensor.contiguous()
                      for field, tensor in zip(_FIELDS, (ids, *rows.read(ids)))}


def _flush_and_sum(path: Path) -> str:
    digest = sha256(path)
    with path.open('rb') as file:
        os.fsync(file.fileno())
    return digest


def _load_part(part: Path, block: Block, template: RowState, ranks: Ranks) -> Iterator[tuple[Tensor, RowState]]:
    reader = _TensorReader(part)
    try:
        stored = reader.read_metadata().state_dict_metadata
    except (OSError, pickle.UnpicklingError) as error:
        raise ValueError(f'the rows of the checkpoint, {part}, cannot be read: {error}') from error
    expected = dict(zip(_FIELDS, (template.clock, *template)))
    pieces: dict[str, dict[str, Tensor]] = {}
    for name, tensor in stored.items():
        assert isinstance(tensor, metadata.TensorStorageMetadata)  # the reader knows no other
        piece, field = name.split('/')
        first, last = map(int, piece.split('-'))
        if first < block.stop and block.start <= last:
            want = expected[field]
            if tensor.size[1:] != want.shape[1:] or tensor.properties.dtype != want.dtype:
                raise ValueError(f'the rows of the checkpoint, {part}, cannot be read: {field} of a row was expected '
                                 f'as {tuple(want.shape[1:])} {want.dtype}, got {tuple(tensor.size[1:])} '
                                 f'{tensor.properties.dtype}')
            pieces.setdefault(piece, {})[field] = want.new_empty(tensor.size)
    tensors = {f'{piece}/{field}': tensor for piece, fields in pieces.items() for field, tensor in fields.items()}
    try:
        _collective(dcp.load, tensors, storage_reader=reader, process_group=ranks.host_group)
    except CheckpointException as error:  # a BaseException, which would pass by most handlers
        raise ValueError(f'the rows of the checkpoint, {part}, cannot be read: {error}') from error
    for fields in pieces.values():
        ids = fields.pop('ids')
        mine = block.contains(ids)
        yield ids[mine], RowState(**{field: tensor[mine] for field, tensor in fields.items()})


def _collective(save_or_load: Callable, tensors: dict[str, Tensor], **kwargs: Any) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'torch.distributed is disabled')  # one process, as is meant
        save_or_load(tensors, **kwargs)


class _TensorUnpickler(pickle.Unpickler):
    """Knows what describes stored tensors, and nothing else: not stored objects, which would be unpickled in turn."""

    _KNOWN = frozenset([
        metadata.Metadata, metadata.MetadataIndex, metadata.TensorStorageMetadata, metadata.TensorProperties,
        metadata.ChunkStorageMetadata, metadata.StorageMeta, metadata._MEM_FORMAT_ENCODING, _StorageInfo, torch.Size,
        torch.serialization._get_layout, type(Path())
    ])

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ('builtins', 'getattr'):
            return _memory_format
        if module.split('.')[0] in ('torch', 'pathlib') and '.' not in name:
            found = super().find_class(module, name)
            if isinstance(found, torch.dtype) or found in self._KNOWN:
                return found
        raise pickle.UnpicklingError(f'it names {module}.{name}, which does not describe a tensor and might run code')


def _memory_format(known: Any, name: str) -> Any:
    """For ``getattr``, by which some Pythons pickle members of enumerations: 3.11.2 does, 3.11.7 does not."""
    if known is not metadata._MEM_FORMAT_ENCODING or name not in known.__members__:
        raise pickle.UnpicklingError(f'it asks for {name} of {known}, which does not describe a tensor and might run '
                                     'code')
    return known[name]


class _TensorReader(FileSystemReader):
    """torch's reader, whose description of what is stored is a pickle, without the code that a pickle may run."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> metadata.Metadata:
        with (Path(self.path) / '.metadata').open('rb') as file:
            described = _TensorUnpickler(file).load()
        described.storage_meta.load_id = self.load_id
        return described
