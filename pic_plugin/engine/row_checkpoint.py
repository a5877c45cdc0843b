"""The rows of all ranks, through ``torch.distributed.checkpoint``: written by all at once, read by any number."""
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.device_mesh import DeviceMesh

from pic_plugin.rows import RowState
from pic_plugin.sharding import Ranks

try:
    from torch.distributed.tensor import DTensor, Shard
except ImportError:  # torch 2.4
    from torch.distributed._tensor import DTensor, Shard


def save_rows(folder: Path, rows: RowState, num_instances: int, ranks: Ranks) -> None:
    """Write this rank's ``rows`` of ``num_instances``.  Collective; when it returns on rank 0, all is written."""
    _transfer(dcp.save, folder, rows, num_instances, ranks)


def load_rows_(folder: Path, rows: RowState, num_instances: int, ranks: Ranks) -> None:
    """Fill ``rows`` with this rank's share of what any number of ranks have written.  Collective.

    Raises:
        ValueError: if the folder is incomplete or has rows of another shape.
    """
    try:
        _transfer(dcp.load, folder, rows, num_instances, ranks)
    except CheckpointException as error:  # a BaseException, which would pass by most handlers
        raise ValueError(f'the rows of the checkpoint, {folder}, cannot be read: {error}') from error


def _transfer(save_or_load: Callable, folder: Path, rows: RowState, num_instances: int, ranks: Ranks) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'torch.distributed is disabled')  # one process, as is meant
        save_or_load(_sharded(rows, num_instances, ranks), checkpoint_id=folder, process_group=ranks.host_group)


def _sharded(rows: RowState, num_instances: int, ranks: Ranks) -> dict[str, Any]:
    tensors: dict[str, Tensor] = rows._asdict()
    if ranks.host_group is None:
        return dict(tensors)
    mesh = DeviceMesh.from_group(ranks.host_group, 'cpu')
    return {
        name: DTensor.from_local(tensor, mesh, [Shard(0)], run_check=False,
                                 shape=torch.Size([num_instances, *tensor.shape[1:]]), stride=tensor.stride())
        for name, tensor in tensors.items()
    }
