"""Whether each index of a data set is an image of its own."""
import torch
from torch.utils.data import Dataset

from .instance_dataset import InstanceDataset, seeded

_NUM_CHECKED = 16


def check_own_rows(dataset: Dataset) -> None:
    """Check that item i of a data set is image i, whose class, and row, is i.

    It is for an :class:`InstanceDataset`.  Of others some items are loaded, spread evenly, the last one included: where
    a data set wraps others, they say which image of those it is.

    Raises:
        ValueError: if ``sample_idx`` of an item is not its index, or there is none.
    """
    if isinstance(dataset, InstanceDataset):
        return
    for index in torch.linspace(0, len(dataset) - 1, _NUM_CHECKED, dtype=torch.float64).long().unique().tolist():  # type: ignore[arg-type]
        with seeded(index):
            item = dataset[index]
        sample = item.get('data_samples') if isinstance(item, dict) else None
        given = getattr(sample, 'sample_idx', None)
        if given != index:
            raise ValueError(
                f'data_samples.sample_idx of item {index} of train_dataloader.dataset must be {index}, got {given} '
                f'from a {type(dataset).__name__}: each image has a row of its own, and data sets that wrap others '
                '(ConcatDataset, RepeatDataset, ClassBalancedDataset, KFoldDataset, Subset) would give one row to '
                'several. Use an InstanceDataset itself: data_root=[...] for several folders, indices or ann_file for '
                'a part of one, train_cfg.max_epochs for more passes')
