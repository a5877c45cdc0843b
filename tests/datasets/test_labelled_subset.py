from collections import Counter
from pathlib import Path

import pytest
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS

from pic_plugin.datasets.labelled_subset import _drawn


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


@pytest.fixture
def images(tmp_path):
    """A hundred of the first class, forty of the second, three of the third; a name occurs in two of them."""
    for label, count in enumerate((100, 40, 3)):
        for i in range(count):
            path = tmp_path / f'images/n{label}/n{label}_{i}.JPEG'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for label in (0, 1):
        (tmp_path / f'images/n{label}/same.JPEG').touch()
    return tmp_path / 'images'


def build(images, subset, **changes):
    data = DATASETS.build(dict(type='LabelledSubset', subset=subset, **changes, dataset=dict(
        type='CustomDataset', data_root=str(images))))
    return [(data.get_data_info(i)['gt_label'], Path(data.get_data_info(i)['img_path']).name)
            for i in range(len(data))]


def test_a_share_of_each_class(images):
    drawn = build(images, 0.1)
    assert Counter(label for label, _ in drawn) == {0: 10, 1: 4, 2: 1}  # at least one
    assert len(set(drawn)) == 15
    assert drawn == sorted(drawn)  # in the order of the whole
    assert build(images, 0.1) == drawn
    assert build(images, 0.1, seed=1) != drawn
    assert len(build(images, 1.0)) == 145


def test_a_larger_share_contains_the_smaller_one(images):
    assert set(build(images, 0.1)) < set(build(images, 0.5))


def test_a_draw_is_uniform(images):
    whole = DATASETS.build(dict(type='CustomDataset', data_root=str(images), indices=[142, 143, 144]))
    counts = Counter(i for seed in range(200) for i in _drawn(whole, 1 / 3, seed))
    assert sum(counts.values()) == 200 and min(counts.values()) > 40  # of three images; 66.7 are expected


def test_a_list_of_names(images, tmp_path):
    (tmp_path / 'names.txt').write_text('n1_3.JPEG\nn0_7.JPEG\n\nn1/n1_0.JPEG\nn0/same.JPEG\nn1_3.JPEG\n')
    assert build(images, str(tmp_path / 'names.txt')) == [
        (0, 'n0_7.JPEG'), (0, 'same.JPEG'), (1, 'n1_0.JPEG'), (1, 'n1_3.JPEG')]


@pytest.mark.parametrize('name, number', [('n5_0.JPEG', 0), ('same.JPEG', 2), ('n1/n0_7.JPEG', 0)])
def test_a_name_of_no_image_or_of_two(images, tmp_path, name, number):
    (tmp_path / 'names.txt').write_text(f'n1_3.JPEG\n{name}\n')
    with pytest.raises(ValueError, match='names.txt must name one image of the 145 of the data set, and '
                                         f"'{name}' names {number}"):
        build(images, str(tmp_path / 'names.txt'))


def test_a_list_of_nothing(images, tmp_path):
    (tmp_path / 'names.txt').write_text('\n')
    with pytest.raises(ValueError, match='names.txt must name images, one a line, and is empty'):
        build(images, str(tmp_path / 'names.txt'))


@pytest.mark.parametrize('share', [0, -0.1, 1.5])
def test_no_share(images, share):
    with pytest.raises(ValueError, match=rf'subset must be a share in \(0, 1\] or the path of a list.*, got {share}'):
        build(images, share)


def test_no_list(images):
    with pytest.raises(FileNotFoundError, match='absent.txt'):
        build(images, 'absent.txt')
