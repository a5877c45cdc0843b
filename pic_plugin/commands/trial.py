"""A short look at the images, and a short trial of the training, from which settings are chosen."""
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.device import get_device
from mmpretrain.registry import MODELS

from pic_plugin.datasets import InstanceDataset
from pic_plugin.datasets.image_files import printable
from pic_plugin.progress import progress_bar, quiet_stderr

from .settings import Images, Machine

_LOOKED_AT = 256  # images
_TIMED = 2.0  # seconds, of reading and of training
_SEVERAL = 3  # batches at least


class Look(NamedTuple):
    """What a look at some images found."""
    images: Images
    mean: list[float]  # of each channel (RGB), 0..255
    std: list[float]
    num_unreadable: int  # of those looked at
    num_looked_at: int


def look_at(dataset: InstanceDataset) -> Look:
    """Read some hundred images, evenly spread.

    Args:
        dataset: its pipeline plays no part.

    Raises:
        ValueError: if none of them can be read.
    """
    load = dataset.with_pipeline([dict(type='LoadImageFromFile')]).pipeline
    ids = np.unique(np.linspace(0, len(dataset) - 1, _LOOKED_AT).astype(int))
    sides, means, squares, grey, fault = [], [], [], True, ''
    with progress_bar(len(ids), 'images are looked at') as advance:
        for i in ids:
            advance(1)
            try:
                image = load(dataset.get_data_info(int(i)))['img'][..., ::-1].astype(np.float64)
            except Exception as error:  # whatever loads it may raise anything
                fault = f'{dataset.get_data_info(int(i))["img_path"]}: {type(error).__name__}: {error}'
                continue
            sides.append(min(image.shape[:2]))
            means.append(image.mean((0, 1)))
            squares.append((image**2).mean((0, 1)))
            grey = grey and bool((image == image[..., :1]).all())
    if not sides:
        raise ValueError(printable(f'of {len(ids)} images that were looked at none can be read; the last one: {fault}'))
    mean = np.mean(means, 0)
    std = np.sqrt(np.maximum(np.mean(squares, 0) - mean**2, 1))
    return Look(Images(len(dataset), int(np.median(sides)), grey), mean.round(2).tolist(), std.round(2).tolist(),
                len(ids) - len(sides), len(ids))


def views_per_second(config: Config, dataset: InstanceDataset, machine: Machine) -> float:
    """Measure how many views the machine trains on in a second, with ``config``.

    Reading is timed in this process and shared out over the workers; forward and backward of backbone and neck on one
    device. The softmax and the optimizer take a few percent of these, and are not in it.

    Args:
        config: of the training.
        dataset: its images, with whichever pipeline.
        machine: what it is to run on.

    Raises:
        ValueError: if the network cannot be trained with these settings, for want of memory perhaps.
    """
    loader = config.train_dataloader
    dataset = dataset.with_pipeline(loader.dataset.pipeline)
    with quiet_stderr():
        batch = default_collate([dataset[i % len(dataset)] for i in range(loader.batch_size)])
        reading = _seconds(lambda i: dataset[i % len(dataset)], 8)
    model = MODELS.build(config.model).to(get_device()).train()
    readable = torch.ones(loader.batch_size, dtype=torch.bool)

    def step(_: int) -> None:
        views = model.data_preprocessor(batch, True)['inputs']
        views = views if isinstance(views, list) else [views]
        loss = sum(model.project(view, readable).square().sum() for view in views)
        loss.backward()
        if machine.num_gpus:
            torch.cuda.synchronize()

    try:
        training = _seconds(step, _SEVERAL) / loader.batch_size
    except RuntimeError as error:
        raise ValueError(f'a trial of the training fails with these settings: {error}') from error
    if machine.num_gpus:
        return machine.num_gpus / max(training, reading / max(1, loader.num_workers))
    return 1 / (training + reading / max(1, machine.num_cores))


def _seconds(work: Callable[[int], object], at_least: int) -> float:
    """The seconds of one call, measured for about two seconds, without the first call."""
    work(0)
    start, done = time.monotonic(), 0
    while done < at_least or time.monotonic() - start < _TIMED:
        done += 1
        work(done)
    return (time.monotonic() - start) / done
