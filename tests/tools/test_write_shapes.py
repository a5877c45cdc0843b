"""The small data sets are in the real formats: torchvision's own readers take them, and the labels fit the pictures."""
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import Cityscapes, VOCDetection

from tests.tiny import ROOT

COMMAND = [sys.executable, 'tools/dataset_converters/write_shapes.py']


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    out = tmp_path_factory.mktemp('data') / 'shapes'
    subprocess.run([*COMMAND, str(out)], cwd=ROOT, check=True)
    return out


def box_of(colourful):
    """First and last column and row of a mask, from 1: VOC's xmin, ymin, xmax, ymax."""
    rows, columns = (np.flatnonzero(colourful.any(axis)) + 1 for axis in (1, 0))
    return [columns[0], rows[0], columns[-1], rows[-1]]


@pytest.mark.parametrize('year, image_set, number', [('2007', 'trainval', 32), ('2007', 'test', 16),
                                                     ('2012', 'trainval', 32)])
def test_voc_boxes_enclose_the_shapes(shapes, year, image_set, number):
    dataset = VOCDetection(shapes, year=year, image_set=image_set)
    assert len(dataset) == number
    classes = {'bird': (60, 180, 60), 'bottle': (40, 80, 200), 'tvmonitor': (210, 60, 40)}  # RGB
    seen = set()
    for image, target in dataset:
        annotation, pixels = target['annotation'], np.asarray(image).astype(int)
        assert pixels.shape == (96, 128, 3) and annotation['size'] == dict(width='128', height='96', depth='3')
        assert len(annotation['object']) == 2
        for i, thing in enumerate(annotation['object']):
            seen.add((thing['name'], thing['difficult']))
            close = np.abs(pixels - classes[thing['name']]).max(2) < 50
            close[:, slice(64, None) if i == 0 else slice(64)] = False  # the other half of the image
            box = [int(thing['bndbox'][key]) for key in ('xmin', 'ymin', 'xmax', 'ymax')]
            np.testing.assert_allclose(box_of(close), box, atol=2)  # JPEG blurs, and a triangle has a thin top
    assert {name for name, _ in seen} == classes.keys()


def test_voc_has_difficult_objects(shapes):
    texts = [path.read_text() for path in (shapes / 'VOCdevkit').glob('*/Annotations/*.xml')]
    difficult = sum(text.count('<difficult>1</difficult>') for text in texts)
    assert len(texts) == 80 and 0 < difficult < 20


@pytest.mark.parametrize('split, number', [('train', 24), ('val', 8)])
def test_cityscapes_labels_fit_the_colours(shapes, split, number):
    dataset = Cityscapes(shapes / 'cityscapes', split=split, mode='fine', target_type='semantic')
    assert len(dataset) == number
    by_id = {entry.id: entry for entry in Cityscapes.classes}
    colours = {'sky': (140, 190, 230), 'building': (110, 100, 90), 'road': (70, 60, 70), 'car': (200, 40, 40),
               'person': (230, 200, 50), 'ego vehicle': (20, 20, 20)}
    for (image, target), files in zip(dataset, dataset.targets):
        pixels, labels = np.asarray(image).astype(int), np.asarray(target)
        assert {by_id[i].name for i in np.unique(labels)} == colours.keys()
        for i in np.unique(labels):
            np.testing.assert_allclose(pixels[labels == i].mean(0), colours[by_id[i].name], atol=4)
        # what mmseg reads: 19 classes, and 255 for all else
        train_labels = np.asarray(Image.open(files[0].replace('labelIds', 'labelTrainIds')))
        for i in np.unique(labels):
            expected = 255 if by_id[i].name == 'ego vehicle' else by_id[i].train_id
            assert (train_labels[labels == i] == expected).all()


def test_nothing_is_written_twice(shapes):
    before = sorted(path.stat().st_mtime_ns for path in shapes.rglob('*'))
    out = subprocess.run([*COMMAND, str(shapes)], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert 'is there already' in out
    assert sorted(path.stat().st_mtime_ns for path in shapes.rglob('*')) == before
