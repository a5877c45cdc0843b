import os
import zipfile

import pytest

from pic_plugin.datasets import InstanceDataset
from pic_plugin.datasets.sources import images_from
from tests.tiny import write_images


def names(data):
    dataset = InstanceDataset(**images_from(data))
    return [os.path.abspath(dataset.get_data_info(i)['img_path']) for i in range(len(dataset))]


def test_a_folder_and_several(tmp_path):
    a, b = write_images(tmp_path / 'a', 3), write_images(tmp_path / 'b', 2)
    inside = [str(tmp_path / 'a/a/000.png'), str(tmp_path / 'a/a/002.png'), str(tmp_path / 'a/b/001.png')]
    assert names(a) == names(str(a)) == names([a]) == inside
    assert names([b, str(a)]) == [str(b / 'a/000.png'), str(b / 'b/001.png'), *inside]


@pytest.mark.parametrize('relative', [False, True])
def test_an_archive_is_as_good_as_a_folder(tmp_path, monkeypatch, relative):
    path = tmp_path / 'x.zip'
    with zipfile.ZipFile(path, 'w') as file:
        file.write(write_images(tmp_path / 'images', 1) / 'a/000.png', 'a/000.png')
    monkeypatch.chdir(tmp_path)
    name = 'x.zip' if relative else str(path)
    assert images_from(name) == {'data_root': name} and len(InstanceDataset(**images_from(name))) == 1
    assert len(InstanceDataset(**images_from([name, tmp_path / 'images']))) == 2


def test_a_list_of_names_relative_to_it_or_absolute(tmp_path, monkeypatch):
    folder = write_images(tmp_path / 'images', 4)
    listed = ['images/b/003.png', str(folder / 'a/000.png')]
    (tmp_path / 'list.txt').write_text('\n'.join(listed) + '\n')
    expected = [str(folder / 'b/003.png'), str(folder / 'a/000.png')]
    assert names(tmp_path / 'list.txt') == expected
    monkeypatch.chdir(tmp_path)
    assert names('list.txt') == expected


def test_what_is_no_data(tmp_path):
    folder = write_images(tmp_path / 'images', 1)
    (tmp_path / 'list.txt').write_text('images/a/000.png')
    for data, message in [
        ([], 'a folder of images was expected, or several, or a file that lists images, and none is given'),
        (folder / 'a/000.png', 'a/000.png is an image; give the folder of it, or a text file'),
        ([tmp_path / 'list.txt', folder], r'list.txt is a file; one file that lists .* got 2 arguments'),
        (tmp_path / 'nowhere', "there is no folder or file '.*nowhere'; give a folder of images, several, or a text"),
        ([folder, tmp_path / 'nowhere'], 'nowhere'),
    ]:
        with pytest.raises(ValueError, match=message):
            images_from(data)
