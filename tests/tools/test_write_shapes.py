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


@pytest.mark.parametrize('year, image_set, number', [('2007', 'trainval', 32), ('2007', 'test', 48),
                                                     ('2012', 'trainval', 32)])
def test_voc_boxes_enclose_the_shapes(shapes, year, image_set, number):
    dataset = VOCDetection(shapes, year=year, image_set=image_set)
    assert len(dataset) == number
    seen, colours = set(), []
    for image, target in dataset:
        annotation, pixels = target['annotation'], np.asarray(image).astype(int)
        assert pixels.shape == (96, 128, 3) and annotation['size'] == dict(width='128', height='96', depth='3')
        assert len(annotation['object']) == 2
        for i, thing in enumerate(annotation['object']):
            seen.add((thing['name'], thing['difficult']))
            colourful = np.ptp(pixels, axis=2) > 80  # the rest is grey, but for the noise
            colourful[:, slice(64, None) if i == 0 else slice(64)] = False  # the other half of the image
            box = [int(thing['bndbox'][key]) for key in ('xmin', 'ymin', 'xmax', 'ymax')]
            np.testing.assert_allclose(box_of(colourful), box, atol=2)  # JPEG blurs, and a triangle has a thin top
            colours.append(pixels[colourful].mean(0))
    assert {name for name, _ in seen} == {'bird', 'bottle', 'tvmonitor'}
    assert (np.std(colours, axis=0) > 40).all()  # they are not what tells the classes apart


def test_voc_has_difficult_objects(shapes):
    texts = [path.read_text() for path in (shapes / 'VOCdevkit').glob('*/Annotations/*.xml')]
    difficult = sum(text.count('<difficult>1</difficult>') for text in texts)
    assert len(texts) == 112 and 0 < difficult < 28


@pytest.mark.parametrize('split, number', [('train', 24), ('val', 24)])
def test_cityscapes_labels_fit_the_pictures(shapes, split, number):
    dataset = Cityscapes(shapes / 'cityscapes', split=split, mode='fine', target_type='semantic')
    assert len(dataset) == number
    by_id = {entry.id: entry for entry in Cityscapes.classes}
    names = {'sky', 'building', 'road', 'car', 'person', 'ego vehicle'}
    skies = []
    for (image, target), files in zip(dataset, dataset.targets):
        pixels, labels = np.asarray(image).astype(int), np.asarray(target)
        assert {by_id[i].name for i in np.unique(labels)} == names
        for i in np.unique(labels):
            assert (pixels[labels == i].std(0) < 10).all()  # one colour, and noise of 8
            if by_id[i].name == 'sky':
                skies.append(pixels[labels == i].mean(0))
        # what mmseg reads: 19 classes, and 255 for all else
        train_labels = np.asarray(Image.open(files[0].replace('labelIds', 'labelTrainIds')))
        for i in np.unique(labels):
            expected = 255 if by_id[i].name == 'ego vehicle' else by_id[i].train_id
            assert (train_labels[labels == i] == expected).all()
    assert (np.std(skies, axis=0) > 30).all()  # another one in each scene


def test_unlabelled_scenes(tmp_path):
    subprocess.run([*COMMAND, str(tmp_path / 'a'), '--unlabelled', '5'], cwd=ROOT, check=True)
    for kind, size in (('objects', (128, 96)), ('streets', (128, 64))):
        images = [Image.open(path) for path in sorted((tmp_path / 'a/unlabelled' / kind).iterdir())]
        assert [image.size for image in images] == [size] * 5
        assert len({image.tobytes() for image in images}) == 5


def test_nothing_is_written_twice(shapes):
    before = sorted(path.stat().st_mtime_ns for path in shapes.rglob('*'))
    out = subprocess.run([*COMMAND, str(shapes)], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert 'is there already' in out
    assert sorted(path.stat().st_mtime_ns for path in shapes.rglob('*')) == before
