import json

import pytest
from mmengine.registry import init_default_scope

from pic_plugin.datasets import INaturalist
from tests.downstream.data import NUM_TRAIN, digits, write_inaturalist


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def build(folder, **changes):
    return INaturalist(data_root=str(folder), ann_file='train2018.json', pipeline=[dict(type='LoadImageFromFile')],
                       **changes)


def annotated(folder, **changes):
    """A file of three images of the categories 7, 3, 7."""
    content = dict(
        images=[dict(id=i, file_name=f'{i}.jpg') for i in (11, 12, 13)],
        annotations=[dict(id=0, image_id=13, category_id=7), dict(id=1, image_id=12, category_id=3),
                     dict(id=2, image_id=11, category_id=7)],
        categories=[dict(id=7, name='newt'), dict(id=3, name='fern'), dict(id=5, name='moth')])
    (folder / 'train2018.json').write_text(json.dumps({**content, **changes}))
    return folder


def test_as_it_is_published(tmp_path):
    data = build(write_inaturalist(tmp_path))
    assert len(data) == NUM_TRAIN
    images, labels = digits()
    assert data.get_gt_labels().tolist() == labels[:NUM_TRAIN]
    assert abs(data[17]['img'].astype(int) - images[17]).mean() < 4  # a JPEG of it


def test_labels_are_the_places_of_the_categories_ids(tmp_path):
    data = build(annotated(tmp_path), data_prefix='images')
    assert data.CLASSES == ('fern', 'moth', 'newt')
    assert [(data.get_data_info(i)['img_path'], data.get_data_info(i)['gt_label']) for i in range(3)] == [
        (f'{tmp_path}/images/11.jpg', 2), (f'{tmp_path}/images/12.jpg', 0), (f'{tmp_path}/images/13.jpg', 2)]


@pytest.mark.parametrize('annotations, found', [
    ([dict(image_id=13, category_id=7), dict(image_id=12, category_id=3)], r'11.jpg has \[\]'),
    ([dict(image_id=i, category_id=7) for i in (11, 12, 12, 13)], r'12.jpg has \[7, 7\]'),
    ([dict(image_id=i, category_id=i) for i in (11, 12, 13)], r'11.jpg has \[11\]'),
])
def test_wrong_annotations(tmp_path, annotations, found):
    with pytest.raises(ValueError, match='must have one annotation, of one of its 3 categories; ' + found):
        build(annotated(tmp_path, annotations=annotations))


@pytest.mark.parametrize('content', ['', '{"images": []}', '[1]', 'hello'])
def test_another_file(tmp_path, content):
    (tmp_path / 'train2018.json').write_text(content)
    with pytest.raises(ValueError, match='train2018.json must be a JSON file with images, annotations and categories'):
        build(tmp_path)


def test_no_images(tmp_path):
    with pytest.raises(ValueError, match='train2018.json must name images, and its list of them is empty'):
        build(annotated(tmp_path, images=[], annotations=[]))
