"""What was found in all files of a data set, and the names of those to train on."""
import json
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
from mmengine.fileio import get

from pic_plugin.whole_file import whole_file

from .archives import SCHEME, absolute
from .inspection import KINDS, TINY, Inspection, inspect_image, why_unreadable
from .instance_dataset import InstanceDataset

_BIT = {kind: 1 << bit for bit, kind in enumerate(KINDS)}
_AT_ONCE = 16  # files that a thread takes
_DIGEST_BYTES = 16  # two of 10^7 files that differ have the same with a probability of 10^-25
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)


class Findings(NamedTuple):
    """What was found in a data set of N images, in 26 bytes per image and without names."""
    flags: np.ndarray  # [N] uint16, a bit for each of KINDS
    sides: np.ndarray  # [N, 2] uint16, height and width of what can be decoded; no more than 65535
    same_as: np.ndarray  # [N] int64, the first file with the same content; -1 where there is none before it
    errors: dict[int, str]  # of the decoder, by the image
    formats: Counter
    num_bytes: int
    decoded_per_second: float  # by all threads
    num_threads: int

    def of_kind(self, kind: str) -> np.ndarray:
        """Which images are of a kind, ascending."""
        return np.flatnonzero(self.flags & _BIT[kind])

    def quantiles(self) -> dict[float, int]:
        """Of the shorter sides of what can be decoded; none if nothing can."""
        sides = self.shorter_sides()
        return {q: int(np.quantile(sides, q, method='lower')) for q in QUANTILES} if len(sides) else {}

    def shorter_sides(self) -> np.ndarray:
        """``[M]``, of the images that can be decoded."""
        shorter = self.sides.min(1)
        return shorter[shorter > 0]


def find_all(dataset: InstanceDataset, num_threads: Optional[int] = None,
             advance: Callable[[int], Any] = lambda number: None) -> Findings:
    """Read every file of a data set once, and decode it.

    Args:
        dataset: its pipeline plays no part.
        num_threads: as many as this process has cores, if None.
        advance: is told how many more files were read.
    """
    num_images, num_threads = len(dataset), num_threads or len(os.sched_getaffinity(0))
    flags, sides = np.zeros(num_images, np.uint16), np.zeros((num_images, 2), np.uint16)
    digests = np.zeros(num_images, f'S{_DIGEST_BYTES}')
    errors: dict[int, str] = {}
    formats: Counter = Counter()
    num_bytes, start = 0, time.monotonic()

    def inspect(ids: range) -> list[tuple[Inspection, int, bytes]]:
        return [_inspect_file(dataset.get_data_info(i)['img_path']) for i in ids]

    chunks = (range(i, min(i + _AT_ONCE, num_images)) for i in range(0, num_images, _AT_ONCE))
    with ThreadPoolExecutor(num_threads) as threads:
        for ids, found in _in_order(threads, inspect, chunks, ahead=4 * num_threads):
            for i, (seen, size, digest) in zip(ids, found):
                flags[i] = sum(_BIT[kind] for kind in seen.kinds)
                sides[i] = min(seen.height, 65535), min(seen.width, 65535)
                digests[i] = digest
                formats[seen.format] += 1
                num_bytes += size
                if seen.error:
                    errors[i] = seen.error
            advance(len(ids))
    seconds = time.monotonic() - start
    same_as = _same_as(digests, excluded=(flags & _BIT['empty']) > 0)
    flags[same_as >= 0] |= _BIT['duplicates']
    shorter = sides.min(1)
    if (shorter > 0).any():
        flags[(shorter > 0) & (shorter < min(TINY, np.median(shorter[shorter > 0]) / 4))] |= _BIT['tiny']
    return Findings(flags, sides, same_as, errors, formats, num_bytes, num_images / seconds, num_threads)


def _inspect_file(path: str) -> tuple[Inspection, int, bytes]:
    try:
        content = bytes(get(path))
    except Exception as error:  # gone, without permission, or what the store of files raises
        failed = Inspection('unknown', 0, 0, frozenset({'unreadable'}), why_unreadable(error))
        return failed, 0, blake2b(os.fsencode(path), digest_size=_DIGEST_BYTES).digest()  # the same as no other
    return inspect_image(content), len(content), blake2b(content, digest_size=_DIGEST_BYTES).digest()


def _in_order(threads: ThreadPoolExecutor, work: Callable[[range], Any], items: Iterator[range],
              ahead: int) -> Iterator[tuple[range, Any]]:
    """``work`` of each item, in the order of the items, of which a few are begun ahead."""
    begun: deque[tuple[range, Future]] = deque()
    try:
        while True:
            begun.extend((item, threads.submit(work, item)) for item in islice(items, ahead - len(begun)))
            if not begun:
                return
            item, future = begun.popleft()
            yield item, future.result()
    finally:
        for _, future in begun:
            future.cancel()


def _same_as(digests: np.ndarray, excluded: np.ndarray) -> np.ndarray:
    """The first image with the same digest, of those that are not excluded; -1 for itself."""
    kept = np.flatnonzero(~excluded)
    _, first, group = np.unique(digests[kept], return_index=True, return_inverse=True)
    same_as = np.full(len(digests), -1, np.int64)
    same_as[kept] = np.where(kept[first][group] == kept, -1, kept[first][group])
    return same_as


def write_findings(findings: Findings, dataset: InstanceDataset, path: Path) -> None:
    """Write a JSON file of counts, and of the names of the images of each kind.

    Args:
        findings: of the data set.
        dataset: it.
        path: of the file, which must not exist.

    Raises:
        ValueError: if it exists, or cannot be written.
    """
    def name(i: int) -> str:
        return dataset.get_data_info(int(i))['img_path']

    def entry(kind: str, i: int) -> dict[str, Any]:
        more = {'error': findings.errors[i]} if kind == 'unreadable' else \
            {'same_as': name(findings.same_as[i])} if kind == 'duplicates' else \
            {'size': findings.sides[i].tolist()} if kind in ('tiny', 'extreme', 'huge') else {}
        return {'index': int(i), 'path': name(i), **more}

    numbers = {
        'fingerprint': dataset.fingerprint(), 'folders': [absolute(folder) for folder in dataset.folders],
        'num_images': len(dataset), 'num_bytes': findings.num_bytes, 'formats': dict(findings.formats.most_common()),
        'shorter_side': {f'{q:g}': side for q, side in findings.quantiles().items()},
        'decoded_per_second': findings.decoded_per_second, 'num_threads': findings.num_threads}
    with whole_file(path) as partial, partial.open('w') as file:
        file.write(json.dumps(numbers, indent=1)[:-2] + ',\n "kinds": {')
        for i, (kind, about) in enumerate(KINDS.items()):
            ids = findings.of_kind(kind)
            file.write(f'{"," if i else ""}\n  "{kind}": {{"about": {json.dumps(about)}, "count": {len(ids)}, '
                       '"files": [')
            for j, image in enumerate(ids):  # one after the other: there may be millions
                file.write(f'{"," if j else ""}\n   {json.dumps(entry(kind, image))}')
            file.write(']}')
        file.write('\n }\n}\n')


def images_without(dataset: InstanceDataset, findings: Path, kinds: Sequence[str], names: Path) -> dict[str, Any]:
    """Write the names of the images that are not of some kinds; of identical files the first one stays.

    Args:
        dataset: that was checked; its folders may have been moved since.
        findings: what :func:`write_findings` wrote.
        kinds: of :data:`.inspection.KINDS`.
        names: the file to write, which must not exist.

    Returns:
        dict: ``data_root`` and ``ann_file`` for :class:`InstanceDataset`.

    Raises:
        ValueError: if there is no such kind, the findings are of other images, or none would be left; or if several
            folders are named, and one is an archive.
    """
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise ValueError(f'images can be left out by {", ".join(KINDS)}, got {", ".join(unknown)}')
    try:
        found = json.loads(findings.read_text())
        left_out = {image['index'] for kind in kinds for image in found['kinds'][kind]['files']}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(f'{findings} is not what check writes ({type(error).__name__}: {error}); run check again with '
                         'another --out') from error
    if dataset.fingerprint() != found['fingerprint']:
        raise ValueError(f'{findings} is about {found["num_images"]} files of {", ".join(found["folders"])}, and the '
                         f'{len(dataset)} of {", ".join(dataset.folders)} have other names or another order; run check '
                         'again with another --out')
    if len(left_out) == len(dataset):
        raise ValueError(f'all {len(dataset)} images are {", ".join(kinds)}, and none would be left to train on')
    folders = [absolute(folder) for folder in dataset.folders]
    if len(folders) > 1 and any(folder.startswith(SCHEME) for folder in folders):
        raise ValueError(f'one archive or several folders can be named in one list, got {", ".join(folders)}; put all '
                         'into one pack with tools/pack_images.py')
    root = os.path.commonpath(folders) if len(folders) > 1 else folders[0]
    with whole_file(names) as partial, partial.open('wb') as file:
        for i in range(len(dataset)):
            if i in left_out:
                continue
            name = os.fsdecode(dataset.data_list.names[i]) if len(folders) == 1 else \
                os.path.relpath(dataset.get_data_info(i)['img_path'], root)
            if '\n' in name or name.endswith('\r'):
                raise ValueError(f'{name!r} has a line break in its name, and cannot be listed in a file; rename it')
            file.write(os.fsencode(name) + b'\n')
    return {'data_root': root, 'ann_file': os.path.abspath(names)}
