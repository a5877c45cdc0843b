"""Checksums of a checkpoint's files, in the format of ``sha256sum``."""
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from pic_plugin.sharding import Ranks

SUMS = 'SHA256SUMS'
_BLOCK_BYTES = 1 << 22


def sha256(path: Path) -> str:
    """The digest of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Write the digests of files, named as seen from ``folder``: ``sha256sum --check SHA256SUMS`` there checks them."""
    (folder / SUMS).write_text(''.join(f'{digest}  {name}\n' for name, digest in sums.items()))


def read_sums(folder: Path) -> dict[str, str]:
    """The digests that :func:`write_sums` wrote, by name.

    Raises:
        ValueError: if the file is missing or has something else in it.
    """
    try:
        lines = (folder / SUMS).read_text().splitlines()
        return {name: digest for digest, name in (line.split('  ', 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise ValueError(f'the checksums of the checkpoint, {folder / SUMS}, cannot be read: {error}') from error


def add_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Add digests to those that are written already."""
    write_sums(folder, {**read_sums(folder), **sums})


def check_sums(folder: Path, sums: Mapping[str, str], ranks: Ranks, beside: Optional[str] = None) -> None:
    """Compare files with their digests, each on one of the ranks.  Collective.

    Args:
        folder: of the files.
        sums: their digests.
        ranks: the ranks.
        beside: the digest of the file that is not in the folder, ``../...``, which may have been renamed; looked for
            under its name if None.

    Raises:
        ValueError: on every rank, if a file is missing or holds other bits; it names them all.
    """
    def digest(name: str) -> Optional[str]:
        if beside is not None and name.startswith('../'):
            return beside
        return sha256(folder / name) if (folder / name).is_file() else None

    bad = [name for name in sorted(sums)[ranks.rank::ranks.size] if digest(name) != sums[name]]
    if damaged := sorted(name for names_of_rank in ranks.all_gather_object(bad) for name in names_of_rank):
        raise ValueError(f'the checkpoint is damaged: in {folder}, {", ".join(damaged)} is missing or does not have '
                         'the checksum that it was written with; resume from another checkpoint')
