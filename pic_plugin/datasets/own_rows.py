"""Checks that each index of a data set is an image of its own."""
from typing import Any

import torch

from .instance_dataset import InstanceDataset, seeded
from .wrappers import check_is_no_wrapper, no_own_rows

_NUM_CHECKED = 16


def check_own_rows(dataset: Any) -> None:
    """Check that item i of a data set is image i, whose class, and row, is i.

    It is for an :class:`InstanceDataset`.  Of others some items are loaded, spread evenly, the last one included.

    Raises:
        ValueError: if the data set wraps others, whose items would share rows, or ``sample_idx`` of an item is not its
            index.
    """
    check_is_no_wrapper(dataset)
    if isinstance(dataset, InstanceDataset):
        return
    for index in torch.linspace(0, len(dataset) - 1, _NUM_CHECKED, dtype=torch.float64).long().unique().tolist():
        with seeded(index):
            item = dataset[index]
        given = getattr(item.get('data_samples') if isinstance(item, dict) else None, 'sample_idx', None)
        if given != index:
            raise no_own_rows(f'a {type(dataset).__name__}, whose item {index} has sample_idx {given}')
