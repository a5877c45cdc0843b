"""Few labels: a part of a labelled data set."""
from collections import defaultdict
from typing import Union

import torch
from mmengine.fileio import list_from_file
from mmpretrain.datasets import BaseDataset

from pic_plugin.functional.hashing import hash64
from pic_plugin.registry import DATASETS


@DATASETS.register_module(name='LabelledSubset')
def labelled_subset(dataset: dict, subset: Union[float, str], seed: int = 0) -> BaseDataset:
    """A data set with a part of its images.

    Args:
        dataset: config of one of mmpretrain's labelled data sets.
        subset: the share of each class's images that is drawn, at least one image; or the path of a file that names the
            images, one a line, as the lists of 1 % and 10 % of ImageNet do that SimCLR published
            (``n01440764_10026.JPEG``).  A name may have folders before it.
        seed: of the draw.

    Returns:
        BaseDataset: that data set, its images in their order.

    Raises:
        ValueError: if the share is not in (0, 1], or the list is empty or has a line that does not name one
            of the images.
    """
    whole: BaseDataset = DATASETS.build(dataset)
    whole.full_init()
    whole.get_subset_(_named(whole, subset) if isinstance(subset, str) else _drawn(whole, subset, seed))
    return whole


def _drawn(dataset: BaseDataset, share: float, seed: int) -> list[int]:
    if not 0 < share <= 1:
        raise ValueError(f'subset must be a share in (0, 1] or the path of a list of images, got {share}')
    members = defaultdict(list)
    for i, label in enumerate(dataset.get_gt_labels().tolist()):
        members[label].append(i)
    drawn = []
    for label, indices in members.items():
        order = torch.randperm(len(indices), generator=torch.Generator().manual_seed(int(hash64(seed, label))))
        drawn += [indices[i] for i in order[:max(1, round(share * len(indices)))].tolist()]
    return sorted(drawn)


def _named(dataset: BaseDataset, path: str) -> list[int]:
    lines = [line.strip() for line in list_from_file(path) if line.strip()]
    if not lines:
        raise ValueError(f'{path} must name images, one a line, and is empty')
    depths = {line.count('/') + 1 for line in lines}
    by_name = defaultdict(list)
    for i in range(len(dataset)):
        parts = dataset.get_data_info(i)['img_path'].split('/')
        for depth in depths:
            by_name['/'.join(parts[-depth:])].append(i)
    for line in lines:
        if len(by_name[line]) != 1:
            raise ValueError(f'each line of {path} must name one image of the {len(dataset)} of the data set, and '
                             f'{line!r} names {len(by_name[line])}')
    return sorted({by_name[line][0] for line in lines})
