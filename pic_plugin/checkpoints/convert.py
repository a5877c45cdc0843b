"""Writes a converted network, whole or not at all."""
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pic_plugin.whole_file import check_new, whole_file

Save = Callable[[dict[str, Tensor], Path], None]


def convert_file(source: Path, out: Path, convert: Callable[[Path], dict[str, Tensor]], save: Save) -> None:
    """Convert ``source`` and write it to ``out``, which is complete or not there; say what was done.

    Args:
        source: a checkpoint.
        out: the file to write.
        convert: reads and renames.
        save: writes what ``convert`` gave.

    Raises:
        ValueError: if ``out`` exists or cannot be written, or ``convert`` refuses.
    """
    check_new(out)
    state = convert(source)
    with whole_file(out) as path:
        save(state, path)
    print(f'wrote {len(state)} tensors, {sum(tensor.numel() for tensor in state.values()):,} numbers, to {out}')


def save_torch(state: dict[str, Tensor], path: Path) -> None:
    """Write a dict of tensors that ``torch.load(path, weights_only=True)`` reads."""
    # cloned: a view would be saved with all that it is a view of
    file = io.BytesIO()
    torch.save({name: tensor.detach().clone() for name, tensor in state.items()}, file)
    path.write_bytes(file.getbuffer())  # of a disk that is full torch says something else


def save_safetensors(state: dict[str, Tensor], path: Path) -> None:
    """Write a file of safetensors.

    Raises:
        ValueError: if that package is not there.
    """
    try:
        from safetensors.torch import save  # an extra: those who do not use the format need not have it
    except ImportError as error:
        raise ValueError('to write .safetensors the package safetensors is needed: pip install safetensors') from error
    # not its save_file, whose files others cannot read
    path.write_bytes(save({name: tensor.detach().contiguous().clone() for name, tensor in state.items()},
                          {'format': 'pt'}))


def save_detectron2(state: dict[str, Tensor], path: Path) -> None:
    """Write a pickle of numpy arrays, which Detectron2 fits to its models by the ends of their names."""
    arrays = {name: tensor.detach().numpy() for name, tensor in state.items()}
    with path.open('wb') as file:
        _ArrayPickler(file, protocol=4).dump({'model': arrays, '__author__': 'pic_plugin', 'matching_heuristics': True})


class _ArrayPickler(pickle.Pickler):
    """Writes arrays by names that every numpy has: those of numpy 2's own pickles are unknown to numpy before 1.26."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, np.ndarray):
            return np.ndarray, (obj.shape, obj.dtype, bytearray(obj.tobytes()))
        return NotImplemented
