import random
import shutil

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from pic_plugin.datasets import InstanceDataset
from pic_plugin.datasets.sliding_window_sampler import StreamIndex
from tests.tiny import write_images

LOAD = dict(type='LoadImageFromFile', color_type='grayscale')
CROP = dict(type='RandomResizedCrop', scale=8, crop_ratio_range=(0.3, 1.0))
BREAK = {
    'empty': lambda path: path.write_bytes(b''),
    'cut off': lambda path: path.write_bytes(path.read_bytes()[:40]),
    'no image': lambda path: path.write_text('hello'),
    'gone': lambda path: path.unlink(),
}


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def dataset(folder, *transforms, load=LOAD):
    return InstanceDataset(data_root=str(folder), pipeline=[load, *transforms, dict(type='PackInputs')])


def test_classes_are_indices_and_labels_are_not_read(tmp_path):
    data = dataset(write_images(tmp_path, 5))
    assert len(data) == 5
    for i in range(5):
        sample = data[i]['data_samples']
        assert sample.sample_idx == i and sample.unreadable is None and 'gt_label' not in sample


@pytest.mark.parametrize('how', BREAK)
@pytest.mark.parametrize('load', [LOAD, dict(type='LoadImageFromFile'),
                                  dict(type='LoadImageFromFile', imdecode_backend='pillow')])
def test_unreadable_image_is_named_and_not_swapped(tmp_path, how, load):
    data = dataset(write_images(tmp_path, 6), CROP, load=load)
    path = data.get_data_info(3)['img_path']
    channels = len(data[0]['inputs'])
    BREAK[how](type(tmp_path)(path))
    sample = data[3]
    assert sample['data_samples'].sample_idx == 3
    assert sample['data_samples'].unreadable.startswith(f'{path} (')
    assert sample['inputs'].shape == (channels, 8, 8)
    assert len(sample['inputs'].unique()) == 1  # grey, of the shape that the others have
    assert data[4]['data_samples'].unreadable is None


def test_an_error_of_a_later_transform_is_not_swallowed(tmp_path):
    data = dataset(write_images(tmp_path, 2), dict(type='PackInputs'), CROP)  # nothing is left to crop
    with pytest.raises(KeyError, match='img'):
        data[0]


def test_views_are_a_function_of_the_visit(tmp_path):
    data = dataset(write_images(tmp_path, 3), CROP)
    views = [data[StreamIndex(1, key)]['inputs'] for key in (5, 6, 5)]
    assert torch.equal(views[0], views[2]) and not torch.equal(views[0], views[1])


def test_the_generators_are_left_as_they_were(tmp_path):
    data = dataset(write_images(tmp_path, 3), CROP)
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    expected = random.random(), np.random.rand(), torch.rand(1)
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    data[StreamIndex(1, 5)]
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected


def loaded(folder, num_workers):
    loader = Runner.build_dataloader(dict(
        batch_size=4, num_workers=num_workers,
        sampler=dict(type='SlidingWindowSampler', window_size=6, window_stride=3),
        collate_fn=dict(type='default_collate'),
        dataset=dict(type='InstanceDataset', data_root=str(folder), pipeline=[LOAD, CROP, dict(type='PackInputs')])),
        seed=1)
    assert isinstance(loader, DataLoader)
    ids, inputs = [], []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            ids += [sample.sample_idx for sample in batch['data_samples']]
            inputs.append(batch['inputs'])
    return ids, torch.cat(inputs)


def test_any_number_of_workers_gives_the_same_samples_and_views(tmp_path):
    folder = write_images(tmp_path, 11)
    ids, inputs = loaded(folder, 0)
    for num_workers in (1, 3):
        other_ids, other_inputs = loaded(folder, num_workers)
        assert other_ids == ids and torch.equal(other_inputs, inputs)


def test_fingerprint(tmp_path):
    folder = write_images(tmp_path / 'images', 9)
    fingerprint = dataset(folder).fingerprint()
    moved = shutil.copytree(folder, tmp_path / 'elsewhere')
    assert dataset(moved).fingerprint() == fingerprint
    (moved / 'a/000.png').rename(moved / 'a/900.png')
    assert dataset(moved).fingerprint() != fingerprint
    assert dataset(write_images(tmp_path / 'more', 10)).fingerprint() != fingerprint
