"""Data sets that wrap others, whose index is not the image's row."""
from typing import Any

from mmengine.dataset import ClassBalancedDataset, RepeatDataset
from mmpretrain.datasets import KFoldDataset
from torch.utils.data import ConcatDataset, Subset

# some of them keep the index; of none could a checkpoint say which files its rows belong to
_WRAPPERS = (ConcatDataset, Subset, RepeatDataset, ClassBalancedDataset, KFoldDataset)


def check_is_no_wrapper(dataset: Any) -> None:
    """Raise a ``ValueError`` if a data set wraps others."""
    if isinstance(dataset, _WRAPPERS):
        raise no_own_rows(f'a {type(dataset).__name__}, which wraps others')


def no_own_rows(fault: str) -> ValueError:
    """The error that says what was given, and what would have a row for each image."""
    return ValueError(
        'each image has a row of its own: train_dataloader.dataset must be an InstanceDataset, or have image i as its '
        f'item i, and data_samples.sample_idx say so; got {fault}. With an InstanceDataset, set data_root=[...] for '
        'several folders, indices or ann_file for a part of one, train_cfg.max_epochs for more passes')
