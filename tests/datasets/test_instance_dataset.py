import os
import random
import shutil
import subprocess
import sys

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.fileio import BaseStorageBackend, register_backend
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import TRANSFORMS
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


@TRANSFORMS.register_module(force=True)
class LoadByPillow(BaseTransform):
    """A user's loader, of four channels and floats."""

    def transform(self, results):
        image = np.array(PIL.Image.open(results['img_path']).convert('RGBA')).astype(np.float32)
        return dict(results, img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])


@register_backend('pic-test-keys', force=True)
class Keys(BaseStorageBackend):
    """A data base that gives None where it lacks a key, as mmengine's LMDB does."""

    def get(self, filepath):
        return open(filepath, 'rb').read() if os.path.exists(filepath) else None

    get_text = None


@TRANSFORMS.register_module(force=True)
class LoadKeys(BaseTransform):
    """A user's loader that does not look at what it gets."""

    def transform(self, results):
        image = cv2.imdecode(np.frombuffer(Keys().get(results['img_path']), np.uint8), cv2.IMREAD_COLOR)
        return dict(results, img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])


@pytest.mark.parametrize('how', BREAK)
@pytest.mark.parametrize('load', [
    dict(type='LoadImageFromFile', to_float32=True),
    dict(type='LoadImageFromFile', color_type='unchanged'),
    dict(type='LoadImageFromFile', imdecode_backend='pillow', ignore_empty=True),
    dict(type='LoadImageFromFile', backend_args=dict(backend='pic-test-keys')),
    dict(type='LoadByPillow'),
    dict(type='LoadKeys'),
], ids=str)
def test_unreadable_whatever_loads_it(tmp_path, how, load):
    data = dataset(write_images(tmp_path, 6), dict(type='RandomFlip', prob=0.5), load=load)
    path = data.get_data_info(3)['img_path']
    expected = data[2]['inputs']
    BREAK[how](type(tmp_path)(path))
    for index in (3, StreamIndex(3, 7)):
        sample = data[index]
        assert sample['data_samples'].sample_idx == 3 and sample['data_samples'].img_path == path
        assert sample['data_samples'].unreadable.startswith(f'{path} (')
        assert sample['inputs'].shape == expected.shape and sample['inputs'].dtype == expected.dtype


def test_without_asserts(tmp_path):
    """Mmcv's loader asserts that it got an image."""
    write_images(tmp_path / 'images', 6)
    (tmp_path / 'images/a/000.png').write_text('hello')
    code = f"""
from mmengine.registry import init_default_scope
from pic_plugin.datasets import InstanceDataset
init_default_scope('mmpretrain')
for color_type in ('color', 'unchanged'):
    data = InstanceDataset(data_root={str(tmp_path / 'images')!r}, pipeline=[
        dict(type='LoadImageFromFile', color_type=color_type), dict(type='PackInputs')])
    print([bool(data[i]['data_samples'].unreadable) for i in range(6)])
"""
    out = subprocess.run([sys.executable, '-O', '-c', code], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert out.splitlines()[-3::2] == ['[True, False, False, False, False, False]'] * 2


def test_an_image_that_a_transform_fails_on(tmp_path):
    data = dataset(write_images(tmp_path, 6), dict(type='CenterCrop', crop_size=8), dict(type='ResizeAtLeast8'))
    cv2.imwrite(data.get_data_info(2)['img_path'], np.zeros((3, 8), np.uint8))
    assert data[2]['data_samples'].unreadable.endswith('(ValueError: too small)')
    assert data[2]['inputs'].shape == data[1]['inputs'].shape


@TRANSFORMS.register_module(force=True)
class ResizeAtLeast8(BaseTransform):

    def transform(self, results):
        if min(results['img'].shape) < 8:
            raise ValueError('too small')
        return results


@TRANSFORMS.register_module(force=True)
class FailSometimes(BaseTransform):
    """With an error of its own, which is no image's fault."""

    def transform(self, results):
        if random.random() < 0.2:
            raise ZeroDivisionError('mine')
        return results


def test_an_error_of_a_later_transform_is_not_swallowed(tmp_path):
    data = dataset(write_images(tmp_path, 2), dict(type='PackInputs'), CROP)  # nothing is left to crop
    with pytest.raises(KeyError, match='img'):
        data[0]


def test_an_error_that_comes_by_chance_is_not_swallowed(tmp_path):
    data = dataset(write_images(tmp_path, 40), dict(type='FailSometimes'))
    for visits in (range(40), [StreamIndex(i, i) for i in range(40)]):
        fails = 0
        for index in visits:
            try:
                assert data[index]['data_samples'].unreadable is None
            except ZeroDivisionError:
                fails += 1
        assert fails > 0


def test_a_pipeline_that_gives_nothing_or_no_samples(tmp_path):
    folder = str(write_images(tmp_path, 3))
    with pytest.raises(ValueError, match='the pipeline gave None'):
        InstanceDataset(folder, pipeline=[lambda data: None])[0]
    with pytest.raises(ValueError, match=r"must end with dict\(type='PackInputs'\), and gave no data_samples"):
        InstanceDataset(folder, pipeline=[LOAD])[0]


def test_several_views(tmp_path):
    data = dataset(write_images(tmp_path, 3), dict(type='MultiView', num_views=[2], transforms=[[CROP]]))
    type(tmp_path)(data.get_data_info(1)['img_path']).write_text('hello')
    assert [view.shape for view in data[1]['inputs']] == [view.shape for view in data[0]['inputs']]
    assert data[1]['data_samples'].unreadable


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


def names(data, folder):
    return [os.path.relpath(data.get_data_info(i)['img_path'], folder) for i in range(len(data))]


def test_several_folders(tmp_path):
    for i, name in enumerate('xyz'):
        write_images(tmp_path / name / 'train', 2 + i, seed=i)
    data = InstanceDataset([str(tmp_path / 'z'), tmp_path / 'x'], 'train', pipeline=[LOAD, dict(type='PackInputs')])
    assert names(data, tmp_path) == ['z/train/a/000.png', 'z/train/a/002.png', 'z/train/b/001.png',
                                     'z/train/b/003.png', 'x/train/a/000.png', 'x/train/b/001.png']
    assert [data[i]['data_samples'].sample_idx for i in range(6)] == list(range(6))
    for name in 'xz':
        (tmp_path / name / 'list.txt').write_text('b/001.png\n\na/000.png\n')
    data = InstanceDataset([str(tmp_path / 'z'), str(tmp_path / 'x')], 'train', 'list.txt')
    assert names(data, tmp_path) == ['z/train/b/001.png', 'z/train/a/000.png', 'x/train/b/001.png',
                                     'x/train/a/000.png']


def test_folders_in_each_other_give_no_image_twice(tmp_path):
    folder = write_images(tmp_path, 4)
    assert names(InstanceDataset([str(folder / 'a'), str(folder)]), folder) == [
        'a/000.png', 'a/002.png', 'b/001.png', 'b/003.png']
    with pytest.raises(ValueError, match='there must be images in .*/a, and .* 1 links to folders that are listed al'):
        InstanceDataset([str(folder), str(folder / 'a')])


@pytest.mark.parametrize('arguments, message', [
    (dict(), 'InstanceDataset needs data_root, data_prefix or ann_file, and got none'),
    (dict(data_root=[]), r'data_root must be a folder or a list of folders, got \[\]'),
    (dict(data_root=7), 'data_root must be a folder or a list of folders, got 7'),
    (dict(data_root=['a', None]), 'data_root must be a folder or a list of folders, got'),
    (dict(data_root='a', extensions='.png'), r"extensions must be a list, as \['.png'\], got '.png'"),
    (dict(data_root='nowhere'), "there is no folder 'nowhere'"),
    (dict(data_root='a', extensions=['.gif']), 'there must be images in a, and there are none; left out: 2 .png; read'),
    (dict(ann_file='empty.txt'), 'there must be images in empty.txt, and there are none'),
    (dict(ann_file='twice.txt'), 'twice.txt must name each image once, and names x.png 2 times'),
])
def test_wrong_arguments(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(write_images(tmp_path, 4))
    (tmp_path / 'empty.txt').write_text('\n\n')
    (tmp_path / 'twice.txt').write_text('x.png\ny.png\nx.png\n')
    with pytest.raises(ValueError, match=message):
        InstanceDataset(**arguments)


def test_labels_in_a_list_are_not_read(tmp_path):
    folder = write_images(tmp_path / 'images', 2)
    (tmp_path / 'list.txt').write_text('b/001.png 3\na/000.png 1\n')
    data = InstanceDataset(str(folder), ann_file=str(tmp_path / 'list.txt'), with_label=True)
    assert names(data, folder) == ['b/001.png', 'a/000.png']


def test_the_log_says_what_is_trained_on(tmp_path, monkeypatch):
    folder = write_images(tmp_path, 4)
    for name in ('a/x.txt', 'b/y.txt', '.hidden.png', 'z.heic'):
        (folder / name).touch()
    lines = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'log', lambda level, line: lines.append(line))
    dataset(folder)
    lines = [line for line in lines if 'images in' in line]
    assert lines == [f'4 images in {folder}; left out: 1 .heic, 2 .txt, 1 hidden']


def fingerprint(*folders):
    return InstanceDataset([str(folder) for folder in folders]).fingerprint()


def test_the_fingerprint_is_of_all_names(tmp_path):
    folder = write_images(tmp_path / 'images', 9)
    expected = fingerprint(folder)
    moved = shutil.copytree(folder, tmp_path / 'elsewhere/below')
    assert fingerprint(moved) == expected == fingerprint(f'{moved}/')
    (moved / 'a').rename(moved / 'c')  # all images have their folder's name, as films have that of their clip
    assert fingerprint(moved) != expected
    (moved / 'c').rename(moved / 'a')
    (moved / 'a/000.png').rename(moved / 'a/001.png')  # the order stays
    assert fingerprint(moved) != expected
    assert fingerprint(write_images(tmp_path / 'more', 10)) != expected
    flat = shutil.copytree(folder / 'a', tmp_path / 'flat')
    assert fingerprint(flat) == fingerprint(shutil.copytree(flat, tmp_path / 'flat_too'))


def test_the_fingerprint_of_several_folders(tmp_path):
    a, b = (write_images(tmp_path / 'films' / name / 'frames', 4) for name in 'ab')  # of the same names
    expected = fingerprint(a, b)
    moved = shutil.copytree(tmp_path / 'films', tmp_path / 'moved')
    assert fingerprint(moved / 'a/frames', moved / 'b/frames') == expected == fingerprint(moved / 'a/frames', b)
    assert len({expected, fingerprint(b, a), fingerprint(a)}) == 3


def test_a_name_that_is_no_utf_8(tmp_path):
    folder = write_images(tmp_path / 'images', 4)
    os.rename(folder / 'a/000.png', os.fsencode(folder) + b'/a/\xe9.png')
    data = dataset(folder)
    assert names(data, folder)[1] == 'a/\udce9.png'  # the last of its folder
    assert data[1]['data_samples'].unreadable is None
    assert data.fingerprint() != fingerprint(write_images(tmp_path / 'other', 4))
    open(data.get_data_info(1)['img_path'], 'w').close()
    assert data[1]['data_samples'].unreadable.encode().startswith(os.fsencode(folder) + b'/a/\\udce9.png (')
