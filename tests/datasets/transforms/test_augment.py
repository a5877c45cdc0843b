import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.datasets import CustomDataset

from pic_plugin.datasets import Augment, InstanceDataset, instance_dataset
from pic_plugin.datasets.sliding_window_sampler import StreamIndex
from pic_plugin.datasets.transforms import RandomErasing
from pic_plugin.functional.hashing import Draws
from tests.tiny import write_images

LOAD = dict(type='LoadImageFromFile', color_type='grayscale')
AUGMENT = dict(type='Augment', augmentations=[
    dict(type='RandomAffine', degrees=10, translate=(0.1, 0.1), scale=(0.85, 1.15), shear=10),
    dict(type='RandomErasing', p=0.5)])
PACK = dict(type='PackInputs')


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def test_a_view_is_a_function_of_the_visit_and_no_generator_is_seeded(tmp_path, monkeypatch):
    pipeline = [LOAD, dict(type='Resize', scale=16), AUGMENT, PACK]
    data = InstanceDataset(str(write_images(tmp_path, 3)), pipeline=pipeline)
    monkeypatch.setattr(instance_dataset, 'seeded', None)
    views = [data[StreamIndex(1, key)]['inputs'] for key in (5, -6, 5)]
    assert views[0].shape == (1, 16, 16)
    assert torch.equal(views[0], views[2]) and not torch.equal(views[0], views[1])


@pytest.mark.parametrize('others', [[dict(type='RandomFlip', prob=0.5), AUGMENT], [AUGMENT, lambda results: results]])
def test_generators_are_seeded_for_transforms_that_may_draw_from_them(tmp_path, monkeypatch, others):
    data = InstanceDataset(str(write_images(tmp_path, 3)), pipeline=[LOAD, *others, PACK])
    keys, seeded = [], instance_dataset.seeded
    monkeypatch.setattr(instance_dataset, 'seeded', lambda key: keys.append(key) or seeded(key))
    data[StreamIndex(1, 5)]
    assert keys == [5]


def test_views_of_one_image_differ(tmp_path):
    multi_view = dict(type='MultiView', num_views=[2, 1], transforms=[[AUGMENT], [AUGMENT]])
    data = InstanceDataset(str(write_images(tmp_path, 3)), pipeline=[LOAD, multi_view, PACK])
    first, second = data[StreamIndex(1, 5)]['inputs'], data[StreamIndex(1, 5)]['inputs']
    assert all(map(torch.equal, first, second))
    assert not any(torch.equal(first[i], first[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_one_after_the_other_and_views_in_a_list():
    erase = RandomErasing(p=1.0, value=50)
    augment, images = Augment([dict(type='RandomAffine', degrees=30), erase]), [np.full((9, 9), 200, np.uint8)] * 2
    given = augment({'img': images, 'draws': Draws(3)})['img']
    draws, expected = Draws(3), []
    for image in images:
        for augmentation in augment.augmentations:
            image = augmentation.on_host(image, augmentation.draw(draws, 9, 9))
        expected.append(image)
    assert augment.augmentations[1] is erase and (np.stack(given) == np.stack(expected)).all()
    assert (given[0] != given[1]).any()


def test_without_a_key_torchs_generator_decides():
    image = np.random.default_rng(0).integers(0, 256, (9, 9), np.uint8)
    views = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        views.append(Augment(AUGMENT['augmentations'])({'img': image})['img'])
    assert (views[0] == views[1]).all() and (views[0] != views[2]).any()


def test_what_is_no_augmentation():
    with pytest.raises(ValueError, match='augmentations must be configs of augmentations, .* got 7'):
        Augment([7])


@pytest.mark.parametrize('image, given', [
    (np.zeros((9, 9), np.float32), r'float32 \[9, 9\]'), (np.zeros((9, 9, 4), np.uint8), r'uint8 \[9, 9, 4\]'),
    (torch.zeros(9, 9, 3), r'torch.float32 \[9, 9, 3\]'), ('a.png', 'str')])
def test_images_that_it_cannot_take(image, given):
    with pytest.raises(ValueError, match=rf'Augment needs images of bytes, .* got {given}; let it come right after'):
        Augment(AUGMENT['augmentations'])({'img': image, 'draws': Draws(0)})


def test_it_works_in_mmpretrains_own_datasets(tmp_path):
    write_images(tmp_path, 4, size=20)
    crop = dict(type='DecodeCropResize', crops=dict(size=12))
    data = CustomDataset(str(tmp_path), pipeline=[crop, AUGMENT, PACK])
    sample = data[3]
    assert sample['inputs'].shape == (3, 12, 12) and sample['data_samples'].gt_label == 1
    assert not torch.equal(data[3]['inputs'], sample['inputs'])
