import random

import numpy as np
import pytest
import torch
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmengine.registry import init_default_scope
from mmpretrain.datasets import CustomDataset, KFoldDataset
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset, Subset, random_split

from pic_plugin.datasets import InstanceDataset, SlidingWindowSampler, check_own_rows
from tests.tiny import write_images


@pytest.fixture
def folder(tmp_path):
    init_default_scope('mmpretrain')
    return str(write_images(tmp_path, 20))


def instances(folder):
    return InstanceDataset(data_root=folder, pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')])


class Balanced(InstanceDataset):

    def get_cat_ids(self, idx):
        return [0 if idx % 10 else 1]


WRAPPED = {
    'ConcatDataset': lambda folder: ConcatDataset([instances(folder), instances(folder)]),
    "torch's": lambda folder: torch.utils.data.ConcatDataset([instances(folder), instances(folder)]),
    'RepeatDataset': lambda folder: RepeatDataset(instances(folder), 2),
    'KFoldDataset': lambda folder: KFoldDataset(
        dict(type='InstanceDataset', data_root=folder), fold=1, num_splits=4, seed=0),
    'Subset': lambda folder: Subset(instances(folder), range(3, 20)),
    'random_split': lambda folder: random_split(instances(folder), [15, 5])[0],
    'ClassBalancedDataset': lambda folder: ClassBalancedDataset(
        Balanced(data_root=folder, pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')]), 0.5),
}


@pytest.mark.parametrize('name', WRAPPED)
def test_wrappers_that_give_images_other_rows(folder, name):
    with pytest.raises(ValueError, match=r'got a \w+, which wraps others\. .* set data_root=\[...\] for several'):
        check_own_rows(WRAPPED[name](folder))
    with pytest.raises(ValueError, match='which wraps others'):
        SlidingWindowSampler(WRAPPED[name](folder), None, None)


class Own(Dataset):

    def __init__(self, key):
        self.key = key

    def __len__(self):
        return 3

    def __getitem__(self, index):
        random.random(), np.random.rand(), torch.rand(1)
        return dict(inputs=torch.zeros(3, 4, 4), data_samples=DataSample(metainfo={self.key: index}))


def test_data_sets_of_instances(folder):
    check_own_rows(instances(folder))
    check_own_rows(CustomDataset(folder, with_label=False, pipeline=[dict(type='LoadImageFromFile'),
                                                                    dict(type='PackInputs')]))
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    check_own_rows(Own('sample_idx'))
    assert torch.equal(torch.rand(1), expected)  # looking changes nothing


def test_without_an_index(folder):
    with pytest.raises(ValueError, match='got a Own, whose item 0 has sample_idx None'):
        check_own_rows(Own('index'))


class Twice(Own):
    """A wrapper of the user's."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return super().__getitem__(index % 3)


def test_a_wrapper_that_is_not_known():
    with pytest.raises(ValueError, match='got a Twice, whose item 3 has sample_idx 0'):
        check_own_rows(Twice('sample_idx'))
