"""Processor time of a view, from the file to the collated batch: the pipeline there was, mmpretrain's cv2, and ours."""
import functools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import sklearn.datasets
import torch
from measure import medians, parse_args, report
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope

from pic_plugin.datasets import InstanceDataset
from pic_plugin.datasets.sliding_window_sampler import StreamIndex
from pic_plugin.functional.hashing import hash64

YARDSTICK = 'LoadImageFromFile, Pillow (before)'
CONFIG = Path(__file__).parents[2] / 'configs/pic/pic_r50_8xb64_200e.py'
PACK = Path(__file__).parents[1] / 'pack_images.py'
SIZES = {'500 x 375': (375, 500, 24), '3000 x 2000': (2000, 3000, 6)}  # height, width, number of files
# 500 x 375: 104 kB, and 52 at quality 85; 24 photographs of cameras, of that size, had 103 and 54
_NOISE, _QUALITY = 6, 95
_QUEUE_MS = 0.15  # of a core, for a view on its way from a worker
_GPUS, _IMAGES_PER_SECOND = 8, 3000


def before(backend: str) -> list[dict]:
    """The pipeline that ours takes the place of, with one of mmcv's backends for what has a choice."""
    return [
        dict(type='LoadImageFromFile'),
        dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(0.2, 1.0), backend=backend),
        dict(type='RandomFlip', prob=0.5),
        dict(
            type='RandomApply', prob=0.8,
            transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1,
                             backend=backend)]),
        dict(type='RandomGrayscale', prob=0.2, keep_channels=True, channel_weights=(0.114, 0.587, 0.2989)),
        dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=0.5),
        dict(type='PackInputs'),
    ]


def write_photographs(folder: Path, height: int, width: int, number: int) -> float:
    """JPEG files of this size, pieces of scikit-learn's two photographs with a sensor's noise; their mean kB."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    photographs = sklearn.datasets.load_sample_images().images
    for i in range(number):
        photograph = photographs[i % len(photographs)][..., ::-1]
        top, left = generator.integers(0, 427 - 375 + 1), generator.integers(0, 640 - 500 + 1)
        piece = cv2.resize(photograph[top:top + 375, left:left + 500], (width, height), interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(piece + generator.normal(0, _NOISE, piece.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f'{i:02d}.jpg'), noisy, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return sum(path.stat().st_size for path in folder.iterdir()) / number / 1e3


def packed(folder: Path) -> Path:
    """A pack of a folder's images, shrunk and encoded again as the tool's help suggests."""
    out = folder.with_suffix('.pack')
    subprocess.run([sys.executable, str(PACK), str(folder), str(out), '--short-side', '512', '--quality', '85'],
                   check=True, stdout=subprocess.DEVNULL)
    return out


class Loading:
    """Batches of a data set, in this process.

    Args:
        dataset: images.
    """

    def __init__(self, dataset: InstanceDataset) -> None:
        self.dataset, self.visit = dataset, 0

    def milliseconds(self) -> float:
        """Processor time of a view: each image once, in one batch."""
        keys = hash64(self.visit, torch.arange(len(self.dataset))).tolist()
        self.visit += 1
        start = time.process_time()
        batch = default_collate([self.dataset[StreamIndex(i, key)] for i, key in enumerate(keys)])
        taken = time.process_time() - start
        if any(sample.unreadable for sample in batch['data_samples']):
            raise RuntimeError(f'unreadable: {batch["data_samples"]}')
        return 1e3 * taken / len(keys)


def variants(folder: Path) -> dict[str, Callable[[], float]]:
    """What is compared."""
    ours = Config.fromfile(CONFIG).train_dataloader.dataset.pipeline
    build: Callable[..., InstanceDataset] = functools.partial(InstanceDataset, str(folder))
    on_device, from_pack = build(pipeline=ours), InstanceDataset(str(packed(folder)), pipeline=ours)
    for dataset in (on_device, from_pack):
        dataset.hand_over_augmentations()
    datasets = {
        YARDSTICK: build(pipeline=before('pillow')), 'the same, cv2': build(pipeline=before('cv2')),
        'ours, all on the CPU': build(pipeline=ours), 'ours, the rest on the device': on_device,
        'ours, packed, the rest on the device': from_pack}
    return {name: Loading(dataset).milliseconds for name, dataset in datasets.items()}


def main() -> None:
    """Measure both sizes, and report."""
    args = parse_args(str(__doc__), sizes=list(SIZES), repeats=9)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    init_default_scope('mmpretrain')
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in args.sizes:
            kilobytes = write_photographs(Path(folder, size), *SIZES[size])
            milliseconds = medians(variants(Path(folder, size)), args.repeats, warm=1)
            for name, each in milliseconds.items():
                cores = _GPUS * _IMAGES_PER_SECOND * (each + _QUEUE_MS) / 1e3
                rows.append({'image': size, 'kB': kilobytes, 'pipeline': name, 'ms': each,
                             'times faster': milliseconds[YARDSTICK] / each,
                             f'cores for {_GPUS} GPUs at {_IMAGES_PER_SECOND}/s': round(cores)})
                print(f'{size}, {name}: {each:.2f} ms', file=sys.stderr)
    report(args.out, 'input', rows, {})


if __name__ == '__main__':
    main()
