import os
from collections import Counter

import pytest
from mmengine.fileio import BaseStorageBackend, register_backend

from pic_plugin.datasets.image_files import images_below, images_named_in, printable


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def found(folder, extensions=('.png', '.jpg')):
    left_out = Counter()
    return list(images_below(str(folder), extensions, set(), left_out)), left_out


def test_all_levels_in_any_case_and_what_is_left_out_is_counted(tmp_path):
    touch(tmp_path, 'b.PNG', 'x/y/a.jpg', 'x/a.png', 'notes.txt', 'x/more.TXT', 'README', 'x/a.heic')
    names, left_out = found(tmp_path)
    assert names == ['b.PNG', 'x/a.png', 'x/y/a.jpg']
    assert left_out == {'.txt': 2, '.heic': 1, 'without a suffix': 1}


def test_hidden_files_and_folders_are_left_out(tmp_path):
    folder = touch(tmp_path / '.cache/images', 'a.png', '.a.png', '.git/b.png', 'x/.thumbnails/y/c.png')
    names, left_out = found(folder)  # that the folder itself lies in a hidden one plays no part
    assert names == ['a.png']
    assert left_out == {'hidden': 3}


def test_links_are_followed_and_loops_end(tmp_path):
    folder = touch(tmp_path / 'images', 'a/1.png', 'b/2.png')
    touch(tmp_path / 'elsewhere', '3.png')
    (folder / 'c').symlink_to(tmp_path / 'elsewhere')
    (folder / '4.png').symlink_to(tmp_path / 'elsewhere/3.png')
    (folder / 'a/up').symlink_to(folder)
    (folder / 'b/across').symlink_to(folder / 'a')
    (folder / 'gone.png').symlink_to(tmp_path / 'nowhere')
    os.mkfifo(folder / 'pipe.png')
    names, left_out = found(folder)
    assert names == ['4.png', 'a/1.png', 'b/2.png', 'c/3.png']
    assert left_out == {'links to folders that are listed already': 2, 'links to nothing, or no files': 2}


def test_names_are_bytes(tmp_path):
    with open(os.fsencode(tmp_path) + b'/caf\xe9.png', 'wb'):
        pass
    names, _ = found(tmp_path)
    assert [os.fsencode(name) for name in names] == [b'caf\xe9.png']
    assert printable(names[0]).encode() == b'caf\\udce9.png'
    (tmp_path / 'list.txt').write_bytes(b'caf\xe9.png\r\n\n x\x0by.png \n')
    assert list(images_named_in(str(tmp_path / 'list.txt'), '')) == [b'caf\xe9.png', b' x\x0by.png ']


def test_no_folder(tmp_path):
    with pytest.raises(ValueError, match="there is no folder '.*nowhere'"):
        found(tmp_path / 'nowhere')


@register_backend('pic-test', prefixes='pic-test', force=True)
class Listed(BaseStorageBackend):
    """Files that lie elsewhere."""

    def get(self, filepath):
        raise NotImplementedError

    get_text = get

    def list_dir_or_file(self, dir_path, list_dir, recursive):
        assert dir_path == 'pic-test://images' and not list_dir and recursive
        return iter(['b/2.png', '.git/3.png', 'a/1.png', 'a/notes.txt'])


def test_another_file_backend():
    assert found('pic-test://images') == (['a/1.png', 'b/2.png'], {'hidden': 1, '.txt': 1})
