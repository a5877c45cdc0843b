"""Images as they are prepared for evaluation, in a given order, without those that cannot be read."""
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Optional

import torch
from mmengine.fileio import join_path
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pic_plugin.datasets.inspection import why_unreadable
from pic_plugin.datasets.instance_dataset import InstanceDataset
from pic_plugin.progress import silence_stderr


class Batch(NamedTuple):
    """Some images of those that were asked for together."""
    images: list[int]  # of the B that could be read
    data: Optional[dict[str, Any]]  # ``inputs`` [B, C, H, W], as a model's preprocessor takes it; None if none could
    unreadable: list[tuple[int, str]]  # of the others, and what was wrong


class _Evaluated(Dataset):
    """``(index, inputs, error)`` of each image; either of the last two is None."""

    def __init__(self, dataset: InstanceDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> tuple[int, Optional[Tensor], Optional[str]]:
        try:
            return index, self.dataset.pipeline(self.dataset.get_data_info(index))['inputs'], None
        except Exception as error:  # whatever loads and transforms the image may raise anything
            return index, None, why_unreadable(error)


def evaluated_batches(dataset: InstanceDataset, batches: Sequence[Sequence[int]], num_workers: int,
                      device: str) -> Iterator[Batch]:
    """Batches of images, prepared for evaluation.

    Args:
        dataset: whose pipeline gives ``inputs`` of one size.
        batches: which images each batch is of.
        num_workers: processes that read; none if 0.
        device: that they are for.

    Raises:
        ValueError: if images are of several sizes.
    """
    for batch in DataLoader(
            _Evaluated(dataset), batch_sampler=batches, num_workers=num_workers,  # type: ignore[arg-type]
            collate_fn=_collate, pin_memory=device.startswith('cuda'), worker_init_fn=_in_worker):
        if isinstance(batch, ValueError):  # raised here, it comes without a worker's traceback
            raise batch
        yield batch


def _collate(items: list[tuple[int, Optional[Tensor], Optional[str]]]) -> Any:
    readable = [(index, inputs) for index, inputs, _ in items if inputs is not None]
    if len(shapes := {tuple(inputs.shape) for _, inputs in readable}) > 1:
        return ValueError('the pipeline of evaluation must give images of one size, and gave '
                          f'{" and ".join(map(str, sorted(shapes)[:2]))}: let it end with a CenterCrop')
    data = {'inputs': torch.stack([inputs for _, inputs in readable]), 'data_samples': None} if readable else None
    return Batch([image for image, _ in readable], data,
                 [(image, error) for image, _, error in items if error is not None])


def _in_worker(worker: int) -> None:
    del worker
    torch.set_num_threads(1)
    silence_stderr()  # decoders write there, without a name


def labels_of(dataset: InstanceDataset) -> Optional[Callable[[int], str]]:
    """What gives the class of an image where folders are classes, None where they are not.

    The class is the first folder below that of the data set.  Folders are classes if all images lie in such folders,
    and there are several.
    """
    folders = [join_path(folder, '') for folder in dataset.folders]

    def label(index: int) -> str:
        path = dataset.get_data_info(int(index))['img_path']
        folder = next((folder for folder in folders if path.startswith(folder)), '')
        return path[len(folder):].rpartition('/')[0].split('/')[0]

    labels = set()
    for index in range(len(dataset)):
        labels.add(label(index))
        if '' in labels:
            return None
    return label if len(labels) > 1 else None
