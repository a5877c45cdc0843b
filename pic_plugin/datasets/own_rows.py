"""Whether each index of a data set is an image of its own."""
from typing import Any, Optional

import torch
from mmengine.dataset import ClassBalancedDataset, RepeatDataset
from mmpretrain.datasets import KFoldDataset
from torch.utils.data import ConcatDataset, Subset

from .instance_dataset import InstanceDataset, seeded

# some of them keep the index; of none could a checkpoint say which files its rows belong to
_WRAPPERS = (ConcatDataset, Subset, RepeatDataset, ClassBalancedDataset, KFoldDataset)
_NUM_CHECKED = 16


def check_own_rows(dataset: Any) -> None:
    """Check that item i of a data set is image i, whose class, and row, is i.

    It is for an :class:`InstanceDataset`.  Of others some items are loaded, spread evenly, the last one included.

    Raises:
        ValueError: if the data set wraps others, whose items would share rows, or ``sample_idx`` of an item is not its
            index.
    """
    fault = _fault_of(dataset)
    if fault:
        raise ValueError(
            'each image has a row of its own: train_dataloader.dataset must be an InstanceDataset, or have image i as '
            f'its item i, and data_samples.sample_idx say so; got {fault}. With an InstanceDataset, set data_root='
            '[...] for several folders, indices or ann_file for a part of one, train_cfg.max_epochs for more passes')


def _fault_of(dataset: Any) -> Optional[str]:
    name = type(dataset).__name__
    if isinstance(dataset, InstanceDataset):
        return None
    if isinstance(dataset, _WRAPPERS):
        return f'a {name}, which wraps others'
    for index in torch.linspace(0, len(dataset) - 1, _NUM_CHECKED, dtype=torch.float64).long().unique().tolist():
        with seeded(index):
            item = dataset[index]
        given = getattr(item.get('data_samples') if isinstance(item, dict) else None, 'sample_idx', None)
        if given != index:
            return f'a {name}, whose item {index} has sample_idx {given}'
    return None
