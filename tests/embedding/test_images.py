import pytest

from pic_plugin.datasets import InstanceDataset
from pic_plugin.datasets.sources import images_from
from pic_plugin.embedding.images import labels_of
from tests.photos import crop, encoded, write

IMAGE = encoded(crop(0), 'PNG')


@pytest.mark.parametrize('names, expected', [
    (['cat/1.png', 'cat/more/2.png', 'dog/1.png'], ['cat', 'cat', 'dog']),
    (['cat/1.png', 'dog/1.png', '1.png'], None),  # one lies in no folder
    (['cat/1.png', 'cat/more/2.png'], None),  # a single class is none
    (['1.png', '2.png'], None),
])
def test_whether_folders_are_classes(names, expected, tmp_path):
    for name in names:
        write(tmp_path / 'data' / name, IMAGE)
    dataset = InstanceDataset(data_root=str(tmp_path / 'data'))
    label = labels_of(dataset)
    assert (label and [label(i) for i in range(len(dataset))]) == expected


def test_of_several_data_folders_the_class_is_below_each(tmp_path):
    for name in ('data/cat/1.png', 'data/dog/1.png', 'more/cat/2.png'):
        write(tmp_path / name, IMAGE)
    label = labels_of(InstanceDataset(**images_from([tmp_path / 'more', tmp_path / 'data'])))
    assert [label(i) for i in range(3)] == ['cat', 'cat', 'dog']
