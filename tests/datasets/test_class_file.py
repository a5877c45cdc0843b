import os

import pytest
import torch

from pic_plugin.datasets import InstanceDataset
from tests.tiny import write_images

PACK = dict(type='PackInputs')


def dataset(root, lines, **kwargs):
    for folder, text in zip([root] if isinstance(root, str) else root, [lines] if isinstance(lines, str) else lines):
        with open(os.path.join(folder, 'classes.txt'), 'wb') as file:
            file.write(os.fsencode(text))
    return InstanceDataset(root, class_of_image='classes.txt', pipeline=[dict(type='LoadImageFromFile'), PACK],
                           **kwargs)


@pytest.fixture
def images(tmp_path):
    """a/000.png, a/002.png, b/001.png and 'b/blank in between.png'."""
    write_images(tmp_path / 'images', 4)
    os.rename(tmp_path / 'images/b/003.png', tmp_path / 'images/b/blank in between.png')
    return str(tmp_path / 'images')


ALL = 'b/blank in between.png 1\n\na/000.png 2\nb/001.png 1\na/002.png 0\n'


def test_samples_say_their_class(images):
    data = dataset(images, ALL)
    assert data.class_of_image.tolist() == [2, 0, 1, 1]  # in the order of the images, whatever that of the lines
    samples = [data[i]['data_samples'] for i in range(4)]
    assert [(sample.sample_idx, sample.class_idx) for sample in samples] == [(0, 2), (1, 0), (2, 1), (3, 1)]
    assert 'class_idx' not in InstanceDataset(images, pipeline=data.pipeline.transforms)[0]['data_samples']


def test_classes_go_over_all_folders(images, tmp_path):
    other = write_images(tmp_path / 'other', 2)
    data = dataset([images, str(other)], [ALL, 'a/000.png 3\nb/001.png 1\n'])
    assert data.class_of_image.tolist() == [2, 0, 1, 1, 3, 1]


def test_names_that_are_not_utf8(tmp_path):
    images = write_images(tmp_path / 'images', 2)
    os.rename(os.fsencode(images / 'a/000.png'), os.fsencode(images / 'a') + b'/\xff.png')
    data = dataset(str(images), os.fsdecode(b'\xef\xbb\xbfa/\xff.png 1\nb/001.png 0\n'))
    assert data.class_of_image.tolist() == [1, 0]


@pytest.mark.parametrize('lines, message', [
    (ALL.replace('a/000.png 2', 'a/000.png'), "line 3: an image's name, a blank and the number of its class were "
                                              "expected, got 'a/000.png'"),
    (ALL.replace('a/000.png 2', 'a/000.png cat'), "line 3: .*got 'a/000.png cat'"),
    (ALL.replace('a/000.png 2', 'a/000.png -2'), "line 3: .*got 'a/000.png -2'"),
    (ALL + 'a/000.png 2\n', 'line 6: each image must have one line, and a/000.png has two'),
    (ALL.replace('a/000.png 2\n', ''), 'has no line for a/000.png$'),
    ('a/000.png 0\n', 'has no line for a/002.png and others'),
    (ALL + 'c/9.png 0\n', 'has a line for c/9.png$'),
    (ALL.replace('000.png 2', '000.png 4'), r'classes.txt must number its classes 0, 1, 2, ..., each with an image, '
                                            'and goes up to 4 with no image of class 2'),
    (ALL.replace('002.png 0', '002.png 2'), 'goes up to 2 with no image of class 0'),
])
def test_files_that_do_not_fit(images, lines, message):
    with pytest.raises(ValueError, match=message):
        dataset(images, lines)


def test_a_name_that_is_a_number(images):
    with pytest.raises(ValueError, match='class_of_image must be the name of a file, got 2024; put it in quotes'):
        InstanceDataset(images, class_of_image=2024)


def test_without_the_file(images):
    with pytest.raises(ValueError, match=f'there is no {images}/absent.txt; tools/cluster_classes.py writes one'):
        InstanceDataset(images, class_of_image='absent.txt')


def test_lazily(images):
    data = dataset(images, ALL, lazy_init=True)
    assert data.class_of_image is None
    assert data[0]['data_samples'].class_idx == 2 and torch.equal(data.class_of_image, torch.tensor([2, 0, 1, 1]))
