"""The features of a data set's images, part by part, on one device or several."""
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import torch
from mmengine.logging import MMLogger
from torch import Tensor

from pic_plugin.datasets.instance_dataset import InstanceDataset
from pic_plugin.evaluation.features import features_of
from pic_plugin.model_zoo.network import Network, load_network

from .images import Batch, evaluated_batches
from .parts import Part, Parts


class Job(NamedTuple):
    """All that a process needs to know, as it can be sent to one."""
    source: Path  # of the network
    config: Optional[str]  # its
    images: dict[str, Any]  # arguments of InstanceDataset
    parts_folder: Path
    part_size: int
    batch_size: int
    num_workers: int  # of each process


def extract_parts(job: Job, network: Network, dataset: InstanceDataset, parts: Parts, devices: Sequence[str],
                  advance: Callable[[int], Any]) -> None:
    """Compute the parts that are missing.

    Args:
        job: the work.
        network: of the job, and the data set, as this process has loaded them; several devices have their own.
        dataset: with the network's pipeline.
        parts: of the job.
        devices: on several, each has a process of its own, which takes every so manieth part.
        advance: is told how many more images are done.

    Raises:
        ValueError: if images are of several sizes, or there is no room on a device or on the disk.
    """
    missing = parts.missing()
    advance(len(dataset) - sum(len(parts.images(part)) for part in missing))
    if len(devices) == 1:
        for number in extract(job, network, dataset, parts, missing, devices[0]):
            advance(number)
        return
    context = multiprocessing.get_context('spawn')
    stop = context.Event()
    with ProcessPoolExecutor(len(devices), context, _initialize, (stop, )) as processes:
        pending = {processes.submit(_extract_share, job, missing[i::len(devices)], device)
                   for i, device in enumerate(devices)}
        try:
            while pending:
                done, pending = wait(pending, timeout=1, return_when=FIRST_EXCEPTION)
                left = parts.missing()
                advance(sum(len(parts.images(part)) for part in {*missing} - {*left}))
                missing = left
                for future in done:
                    future.result()
        except BrokenProcessPool as error:
            raise ValueError('a process was killed, for want of memory perhaps: try fewer --workers or a smaller '
                             '--batch-size; the same command goes on') from error
        finally:
            stop.set()


_stop: Any = None  # of a process of its own: whether another one has failed


def _initialize(stop: Any) -> None:
    global _stop
    _stop = stop
    MMLogger.get_current_instance().setLevel('WARNING')  # the first process says all that there is to say


def _extract_share(job: Job, numbers: list[int], device: str) -> None:
    network = load_network(job.source, job.config)
    dataset = InstanceDataset(**job.images, pipeline=network.pipeline)
    parts = Parts(job.parts_folder, len(dataset), job.part_size)
    for _ in extract(job, network, dataset, parts, numbers, device):
        if _stop.is_set():
            return


@torch.inference_mode()
def extract(job: Job, network: Network, dataset: InstanceDataset, parts: Parts, numbers: Sequence[int],
            device: str) -> Iterator[int]:
    """Compute some parts on a device, and write each; gives the number of images after each batch.

    Args:
        job: the work.
        network: of the job.
        dataset: with the network's pipeline.
        parts: of the job.
        numbers: which of them to compute.
        device: torch's name of it.

    Raises:
        ValueError: if images are of several sizes, or there is no room on the device or on the disk.
    """
    batches = [range(start, min(start + job.batch_size, parts.images(number).stop))
               for number in numbers for start in parts.images(number)[::job.batch_size]]
    model = network.model.to(device)
    loader = evaluated_batches(dataset, batches, job.num_workers, device)
    features: list[Tensor] = []
    seen: list[Batch] = []
    for ids, batch in zip(batches, loader):
        seen.append(batch)
        if batch.data is not None:
            try:
                features.append(features_of(model, batch.data))
            except torch.cuda.OutOfMemoryError as error:
                raise ValueError(f'{device} has no room for {len(batch.images)} images at once; give a smaller '
                                 '--batch-size') from error
        number = ids[0] // parts.part_size
        if ids.stop == parts.images(number).stop:  # the device is waited for once in a part
            parts.write(number, _part(features, seen))
            features, seen = [], []
        yield len(ids)


def _part(features: list[Tensor], seen: list[Batch]) -> Part:
    unreadable = [fault for batch in seen for fault in batch.unreadable]
    return Part(torch.cat(features).cpu().numpy() if features else np.zeros((0, 0), np.float32),
                np.array([image for batch in seen for image in batch.images], np.int64),
                np.array([image for image, _ in unreadable], np.int64),
                np.array([error for _, error in unreadable], str))
