import os
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
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


# what file systems take, and what comes before and after a slash, between which folders and files are sorted
PART = st.one_of(
    st.sampled_from([b'a', b'a-', b'a.png', b'a0', b'b.PNG', b'\xe9.png', '\u4e2d.png'.encode(), b'.a.png']),
    st.binary(min_size=1, max_size=8).filter(lambda name: not {0, 47} & set(name) and name not in (b'.', b'..')))


@given(st.lists(st.lists(PART, min_size=1, max_size=4), max_size=12))
@example([[b'a', b'x.png'], [b'a-', b'x.png'], [b'a.png'], [b'a0', b'x.png'], [b'a', b'b', b'x.png'], [b'a', b'b.png']])
def test_what_walking_finds(tmp_path_factory, paths):
    folder = tmp_path_factory.mktemp('images')
    for *folders, file in paths:
        path = os.path.join(os.fsencode(folder), *folders)
        try:
            os.makedirs(path, exist_ok=True)
            open(os.path.join(path, file), 'w').close()
        except OSError:  # it is a file, or a folder, already
            continue
    expected = []
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith('.')]
        expected += [os.path.relpath(os.path.join(path, file), folder) for file in files
                     if not file.startswith('.') and file.lower().endswith('.png')]
    assert found(folder)[0] == sorted(expected)


def test_links_to_themselves_and_folders_without_permission(tmp_path, monkeypatch):
    folder = touch(tmp_path, 'a.png', 'closed/b.png', 'c/d.png')
    (folder / 'loop.png').symlink_to('loop.png')
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(os.path.normpath(path)) == 'closed':
            raise PermissionError(path)
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refuse)  # root may read everything
    names, left_out = found(folder)
    assert names == ['a.png', 'c/d.png']
    assert left_out == {'links to nothing, or no files': 1, 'folders without permission to read': 1}


def test_a_list_of_whole_paths(tmp_path):
    (tmp_path / 'list.txt').write_text(f'{tmp_path}/x/a.png 1\n/other/b.png 2\nc d.png 3\n')
    for folder in (f'{tmp_path}/x', f'{tmp_path}/x/'):
        names = list(images_named_in(str(tmp_path / 'list.txt'), folder, True))
        assert names == [b'a.png', b'/other/b.png', b'c d.png']


def test_names_are_bytes(tmp_path):
    with open(os.fsencode(tmp_path) + b'/caf\xe9.png', 'wb'):
        pass
    names, _ = found(tmp_path)
    assert [os.fsencode(name) for name in names] == [b'caf\xe9.png']
    assert printable(names[0]).encode() == b'caf\\udce9.png'
    (tmp_path / 'list.txt').write_bytes(b'\xef\xbb\xbfcaf\xe9.png\r\n\n x\x0by.png \n')
    assert list(images_named_in(str(tmp_path / 'list.txt'), '')) == [b'caf\xe9.png', b' x\x0by.png ']


def test_no_folder(tmp_path):
    with pytest.raises(ValueError, match="there is no folder '.*nowhere'"):
        found(tmp_path / 'nowhere')
    (tmp_path / 'x.zip').touch()
    with pytest.raises(ValueError, match="x.zip' is no folder, and no pack, zip file or LMDB data base"):
        found(tmp_path / 'x.zip')


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
