"""Checks a released file against its entry in the zoo."""
import re
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from pic_plugin.checkpoints.read import load_tensors_only, network_tensors
from pic_plugin.checkpoints.resnet_names import backbone_names
from pic_plugin.engine.checksums import sha256

from .architecture import check_fits
from .entries import read_zoo
from .publishing import HASH_DIGITS, NECK_SUFFIX


def verify(path: Path, root: Path) -> Iterator[str]:
    """Check a file; one line for each thing that was found to be right.

    Args:
        path: of the file.
        root: the folder of ``model-index.yml``.

    Raises:
        ValueError: at the first thing that is wrong.
    """
    name = re.fullmatch(rf'(.+?)(?:{NECK_SUFFIX})?-([0-9a-f]{{{HASH_DIGITS}}})\.(?:pth|safetensors)', path.name)
    if name is None:
        raise ValueError(f'{path.name} is not the name of a released file: NAME-HASH.pth or NAME-HASH.safetensors was '
                         f'expected, with {HASH_DIGITS} hexadecimal digits')
    entries = {entry.name: entry for family in read_zoo(root) for entry in family.entries}
    if (entry := entries.get(name[1])) is None:
        raise ValueError(f'{name[1]} has no entry in the zoo of {root}')

    digest = sha256(path)
    if not digest.startswith(name[2]):
        raise ValueError(f'{path} is damaged or was renamed: its SHA-256 starts with {digest[:HASH_DIGITS]}, and its '
                         f'name says {name[2]}')
    if not entry.files:
        yield f'SHA-256: as the name says; the zoo has none for {entry.name}, {entry.status}'
    elif entry.files.get(path.name) != digest:
        raise ValueError(f'{path.name} is none of the files of {entry.name}: the zoo has '
                         f'{", ".join(f"{file} ({known[:16]}…)" for file, known in entry.files.items())}, got '
                         f'{digest[:16]}…')
    else:
        yield f'SHA-256: {digest}, as in the zoo'

    state = network_tensors(load_tensors_only(path), path)
    yield f'tensors: {len(state)}, read without running code'
    if entry.num_tensors is not None and len(backbone_names(state)) != entry.num_tensors:
        raise ValueError(f'{entry.num_tensors} tensors of a backbone were expected, got {len(backbone_names(state))}')
    check_fits(state, Config.fromfile(root / entry.config))
    yield f'architecture: names and shapes are those of {entry.config}'
