"""Tensors by id, through ``torch.distributed.checkpoint``: written by all ranks at once, read by any number.

They are written in parts, of a limited number of ids of each rank: there is never a second copy of all of them in
memory.  In a part, a rank's tensors are named ``<first id>-<last id>/<ids, or another field>``; ids rise.
"""
import os
import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint import FileSystemReader, FileSystemWriter, metadata
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import _StorageInfo

from pic_plugin.sharding import Block, Ranks

from .checksums import sha256

Piece = tuple[Tensor, dict[str, Tensor]]  # ids [M] int64, and the fields' [M, ...], in host memory


def write_pieces(folder: Path, pieces: Iterator[Piece], ranks: Ranks) -> tuple[int, dict[str, str]]:
    """Write this rank's pieces; when this returns, they are on the disk.  Collective.

    Args:
        folder: a new one, on a file system that all ranks see.
        pieces: no id is in two of them, nor on two ranks; asked for by a thread.
        ranks: the ranks.

    Returns:
        tuple: how many ids there are on all ranks, and the digests of all files, named as seen from ``folder``.
    """
    total = 0
    written: dict[str, Future] = {}
    # while a part is written, the next one is read, and the last one flushed and summed up
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as flusher:
        upcoming = reader.submit(_next_tensors, pieces)
        for number in range(1 << 30):
            count, tensors = upcoming.result()
            count = int(ranks.sum_(torch.tensor(count)))
            if not count and number:  # the first part is there even if it is empty
                break
            upcoming = reader.submit(_next_tensors, pieces)
            total += count
            part = folder / f'{number:05d}'
            writer = FileSystemWriter(part, sync_files=False)
            _collective(dcp.save, tensors, storage_writer=writer, process_group=ranks.host_group)
            for file in (f'__{ranks.rank}_0.distcp', *(['.metadata'] if ranks.rank == 0 else [])):
                if (part / file).exists():
                    written[f'{part.name}/{file}'] = flusher.submit(_flush_and_sum, part / file)
    sums = {name: future.result() for name, future in written.items()}
    return total, {name: digest for of_rank in ranks.all_gather_object(sums) for name, digest in of_rank.items()}


def read_pieces(folder: Path, names: Iterable[str], block: Block, template: Mapping[str, Tensor],
                ranks: Ranks) -> Iterator[Piece]:
    """What is there of the ids of a block, a part at a time.  Each is loaded by a collective; no code of it is run.

    Args:
        folder: that :func:`write_pieces` wrote into, by any number of ranks.
        names: its files, as seen from there.
        block: the ids that are wanted.
        template: of each field, ``[*, ...]`` of the shape and dtype that are expected.
        ranks: the ranks.

    Yields:
        Piece: of a part that has none of the ids an empty one, with the fields that others have.

    Raises:
        ValueError: if a file is missing or damaged, or a field has another shape or dtype.
    """
    for name in sorted(names):
        if name.endswith('/.metadata'):
            yield from _read_part((folder / name).parent, block, template, ranks)


def _next_tensors(pieces: Iterator[Piece]) -> tuple[int, dict[str, Tensor]]:
    """How many ids the next piece has, and its tensors by name."""
    ids, fields = next(pieces, (torch.empty(0), {}))
    return len(ids), {f'{ids[0]}-{ids[-1]}/{field}': tensor.contiguous()
                      for field, tensor in {'ids': ids, **fields}.items() if len(ids)}


def _flush_and_sum(path: Path) -> str:
    digest = sha256(path)
    with path.open('rb') as file:
        os.fsync(file.fileno())
    return digest


def _read_part(part: Path, block: Block, template: Mapping[str, Tensor], ranks: Ranks) -> Iterator[Piece]:
    def fail(reason: object) -> ValueError:
        return ValueError(f'{part}, a part of the checkpoint, cannot be read: {reason}')

    reader = _TensorReader(part)
    try:
        stored = reader.read_metadata().state_dict_metadata
    except (OSError, pickle.UnpicklingError) as error:
        raise fail(error) from error
    expected = {'ids': torch.empty(0, dtype=torch.int64), **template}
    nothing: dict[str, Tensor] = {}  # of each field that there is
    pieces: dict[str, dict[str, Tensor]] = {}
    for name, tensor in stored.items():
        assert isinstance(tensor, metadata.TensorStorageMetadata)  # the reader knows no other
        piece, field = name.split('/')
        if (want := expected.get(field)) is None:
            raise fail(f'it has {field}, which was not expected')
        if tensor.size[1:] != want.shape[1:] or tensor.properties.dtype != want.dtype:
            raise fail(f'{field} was expected as {tuple(want.shape[1:])} {want.dtype}, got '
                       f'{tuple(tensor.size[1:])} {tensor.properties.dtype}')
        nothing[field] = want.new_empty(0, *want.shape[1:])
        first, last = map(int, piece.split('-'))
        if first < block.stop and block.start <= last:
            pieces.setdefault(piece, {})[field] = want.new_empty(tensor.size)
    tensors = {f'{piece}/{field}': tensor for piece, fields in pieces.items() for field, tensor in fields.items()}
    try:
        _collective(dcp.load, tensors, storage_reader=reader, process_group=ranks.host_group)
    except CheckpointException as error:  # a BaseException, which would pass by most handlers
        raise fail(error) from error
    for fields in pieces.values() or [nothing] * bool(nothing):
        ids = fields.pop('ids')
        mine = block.contains(ids)
        yield ids[mine], {field: tensor[mine] for field, tensor in fields.items()}


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
