"""Put the images of folders into one file: python tools/pack_images.py SRC... OUT.pack.

Training takes it in place of the folder, and a run that began with the folder goes on with it:
train_dataloader.dataset.data_root=OUT.pack.  The images are copied as they are, or shrunk (--short-side) and encoded
again (--quality), by as many processes as there are cores.  The same command goes on with a pack that was stopped.
"""
import argparse
import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Optional

import cv2
from mmengine.fileio import get
from mmengine.registry import init_default_scope

from pic_plugin.arguments import check_positive
from pic_plugin.datasets import InstanceDataset
from pic_plugin.datasets.any_depth import decoded
from pic_plugin.datasets.image_files import printable
from pic_plugin.datasets.image_list import ImageList
from pic_plugin.datasets.names import Names
from pic_plugin.datasets.pack import Pack, PackWriter
from pic_plugin.progress import reported

_CHUNK = 32  # images that a process is given at once
_CHUNKS_AHEAD = 4  # for each process
_SHRUNK_QUALITY = 90


def found_images(sources: list[str]) -> tuple[ImageList, Names]:
    """The images below folders, and what they are called in the pack: below a folder's own name if there are several.

    Raises:
        ValueError: if two folders have one name, or there are no images.
    """
    if len(sources) == 1:
        images = InstanceDataset(sources[0]).data_list
        return images, images.names
    by_name = {os.path.basename(os.path.normpath(source)): source for source in sources}
    if len(by_name) < len(sources):
        raise ValueError(f'folders that share a pack must have names of their own, got {", ".join(sources)}')
    heads = sorted(by_name, key=lambda name: name + '/')
    images = InstanceDataset([by_name[name] for name in heads]).data_list
    return images, Names.of(os.fsencode(heads[images.folder_of(i)]) + b'/' + name
                            for i, name in enumerate(images.names))


def packed(path: str, short_side: Optional[int], quality: Optional[int]) -> tuple[bytes, bool]:
    """An image as it is to be packed, and whether it could not be decoded: it is copied as it is then.

    Args:
        path: of the image.
        short_side: pixels that the shorter side has at most, None to leave the size.
        quality: of the JPEG; None to copy what need not be shrunk.
    """
    content = bytes(get(path))
    if short_side is None and quality is None:
        return content, False
    try:  # what a loader would make of it: turned as its EXIF says, 8 bits
        image = decoded(content)
    except Exception:  # decoders may raise anything
        return content, True
    height, width = image.shape[:2]
    shrinks = short_side is not None and min(height, width) > short_side
    if shrinks:
        scale = short_side / min(height, width)
        # the mean over the area that a pixel covers: nothing of the image is left out
        image = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    elif quality is None:
        return content, False
    encoded = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality or _SHRUNK_QUALITY])[1].tobytes()
    return (encoded if shrinks or len(encoded) < len(content) else content), False


class _Worker:
    """What a process knows of its work."""
    images: ImageList
    short_side: Optional[int]
    quality: Optional[int]

    @classmethod
    def start(cls, *settings: object) -> None:
        cls.images, cls.short_side, cls.quality = settings  # type: ignore[assignment]
        cv2.setNumThreads(0)
        threading.Thread(target=cls.end_with_parent, daemon=True).start()

    @staticmethod
    def end_with_parent() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    @classmethod
    def run(cls, start: int) -> list[tuple[bytes, bool]]:
        return [packed(cls.images[i]['img_path'], cls.short_side, cls.quality)
                for i in range(start, min(start + _CHUNK, len(cls.images)))]


def in_order(images: ImageList, first: int, short_side: Optional[int],
             quality: Optional[int]) -> Iterator[tuple[bytes, bool]]:
    """What :func:`packed` gives of each image, from a first one on."""
    workers = len(os.sched_getaffinity(0))
    starts = range(first, len(images), _CHUNK)
    pending: deque[Future] = deque()
    with ProcessPoolExecutor(workers, multiprocessing.get_context('fork'), _Worker.start,
                             (images, short_side, quality)) as pool:
        for start in reported(starts, f'packing, {_CHUNK} images at once', print):
            pending.append(pool.submit(_Worker.run, start))
            if len(pending) > workers * _CHUNKS_AHEAD:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def pack(sources: list[str], out: Path, short_side: Optional[int], quality: Optional[int]) -> None:
    """Write the pack.

    Raises:
        ValueError: from :func:`found_images` and :class:`PackWriter`.
        OSError: if an image cannot be read or the disk is full; what was written stays.
    """
    images, names = found_images(sources)
    in_pack = ImageList(names, [''], [(0, 0)])
    writer = PackWriter(out, f'{len(images)} images with fingerprint {in_pack.fingerprint()}, '
                             f'--short-side {short_side}, --quality {quality}')
    print(f'{"going on with" if writer.count else "writing"} {writer.partial}, {writer.count} of {len(images)} images; '
          'if it is stopped, the same command goes on with it', flush=True)
    for image, bad in in_order(images, writer.count, short_side, quality):
        writer.add(image, bad)
    undecoded = writer.finish(names)
    for name in undecoded:
        print(printable(f'copied as it is, cannot be decoded: {name}'))
    print(f'wrote {out}: {len(images)} images, {out.stat().st_size:,} bytes; {len(undecoded)} cannot be decoded')


def verify(path: Path) -> None:
    """Read all of a pack; exit with an error if something is not what was written."""
    altered = list(Pack(str(path)).altered())
    for name in altered:
        print(printable(f'altered: {name}'))
    print(f'{path}: {len(altered)} images are altered')
    sys.exit(bool(altered))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', nargs='*', help='folders (or zip files, LMDB data bases, packs), with sub-folders')
    parser.add_argument('out', type=Path, help='the pack')
    parser.add_argument('--short-side', type=int, help='pixels, to which larger images are shrunk; 512 suits crops of '
                        '224')
    parser.add_argument('--quality', type=int, help='of JPEG, 1-100, in which every image is encoded again that gets '
                        f'smaller by it; 85 suits training ({_SHRUNK_QUALITY} for what is shrunk, by default)')
    parser.add_argument('--verify', action='store_true', help='read OUT, and check all of it')
    args = parser.parse_args()
    if args.verify == bool(args.source):
        parser.error('name folders and a pack to write, or --verify and a pack to read')
    init_default_scope('mmpretrain')
    if args.verify:
        verify(args.out)
    check_positive(int, optional=True, short_side=args.short_side, quality=args.quality)
    if args.quality and args.quality > 100:
        raise ValueError(f'quality must be in 1-100, got {args.quality}')
    pack(args.source, args.out, args.short_side, args.quality)


if __name__ == '__main__':
    main()
