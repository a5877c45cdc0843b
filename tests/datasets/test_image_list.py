import copy
import os
import pickle
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.fileio import join_path

from pic_plugin.datasets.image_list import ImageList
from pic_plugin.datasets.names import Names

NAME = st.text('abc/é\udce9', min_size=1, max_size=6).map(lambda name: name.strip('/') or 'a').map(os.path.normpath)
FOLDERS = ['x/train', 'y/train/', '', 'x/val']


def image_list(names_of):
    """Of (folder, names) each."""
    names, runs = [], []
    for place, (_, some) in enumerate(names_of):
        runs.append((len(names), place))
        names += some
    return ImageList(Names.of(map(os.fsencode, names)), [folder for folder, _ in names_of], runs)


def paths_of(names_of):
    return [os.path.join(folder, name) for folder, names in names_of for name in names]


def fingerprint(paths, folders):
    """That of the checkpoints written so far: image by image."""
    folders = [join_path(folder, '') for folder in folders]
    place_of = {folder: place for place, folder in
                enumerate(sorted(folders, key=lambda folder: folder.rstrip('/').split('/')[::-1]))}
    names, current = sha256(), None
    for path in paths:
        if current is None or not path.startswith(current):
            current = next((folder for folder in folders if path.startswith(folder)), '')
            names.update(b'\0%d' % place_of.get(current, 0))
        names.update(b'\0' + os.fsencode(path[len(current):]))
    return names.hexdigest()


SOME = st.lists(st.lists(NAME, min_size=1, max_size=5), min_size=1, max_size=3)


@given(SOME, st.permutations(['x/train', 'y/train/', 'x/val']))
def test_the_fingerprint_is_that_of_older_checkpoints(names, folders):
    names_of = list(zip(folders, names))
    images = image_list(names_of)
    assert [image['img_path'] for image in images] == paths_of(names_of)
    assert images.fingerprint() == fingerprint(paths_of(names_of), [folder for folder, _ in names_of])
    assert [os.fsdecode(path) for path in images.paths()] == paths_of(names_of)
    without = image_list([('', names[0])])
    assert without.fingerprint() == fingerprint(names[0], [''])


@given(SOME, st.data())
def test_some_of_the_images(names, data):
    names_of = list(zip(FOLDERS, names))
    images, paths = image_list(names_of), paths_of(names_of)
    indices = data.draw(st.lists(st.integers(-len(paths), len(paths) - 1), max_size=6))
    taken = images.take(indices)
    assert [image['img_path'] for image in taken] == [paths[i] for i in indices]
    part = data.draw(st.slices(len(paths)))
    assert [image['img_path'] for image in images[part]] == paths[part]
    assert len(images[:0]) == 0 and images[:0].fingerprint() == sha256().hexdigest()


def test_copies():
    images = image_list([('x', ['a', 'b'])])
    assert copy.deepcopy(images) is images
    again = pickle.loads(pickle.dumps(images))
    assert list(again) == list(images) and again.fingerprint() == images.fingerprint()
    with pytest.raises(IndexError):
        images[2]


def test_folders_and_archives_of_their_names_are_in_one_order():
    names = [('d/train', ['a']), ('d/train-extra', ['b'])]
    archives = [(f'packed://{folder}.pack', some) for folder, some in names]
    below = [(f'packed://all.zip/{folder}', some) for folder, some in names]
    assert image_list(names).fingerprint() == image_list(archives).fingerprint() == image_list(below).fingerprint()
    assert image_list(names).fingerprint() != image_list(names[::-1]).fingerprint()
