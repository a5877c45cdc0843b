import json
import os
import shutil
from collections import Counter

import numpy as np
import pytest
from mmengine.fileio import get

from pic_plugin.datasets import InstanceDataset
from pic_plugin.datasets.findings import find_all, images_without, write_findings
from pic_plugin.datasets.inspection import KINDS
from pic_plugin.datasets.sources import images_from
from tests.photos import CUT, EXPECTED, crop, encoded, write, write_photographs
from tests.tiny import write_images


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp('photographs') / 'photos')


def listed(**arguments):
    dataset = InstanceDataset(**arguments)
    return [os.path.abspath(dataset.get_data_info(i)['img_path']) for i in range(len(dataset))]


def dataset_of(data):
    return InstanceDataset(**images_from(data))


def written(data, path):
    dataset = dataset_of(data)
    write_findings(find_all(dataset, 2), dataset, path)
    return path


def without(data, kinds, tmp_path):
    """The paths that are left, and what was left out, relative to ``data``."""
    findings = written(data, tmp_path / 'findings.json')
    kept = listed(**images_without(dataset_of(data), findings, kinds, tmp_path / 'names.txt'))
    everything = listed(**images_from(data))
    assert kept == [path for path in everything if path in set(kept)]  # in their order
    return kept, [os.path.relpath(path, data) for path in everything if path not in set(kept)]


@pytest.mark.parametrize('num_threads', [1, 3])
def test_every_file(num_threads, folder):
    dataset = InstanceDataset(data_root=str(folder))
    told = []
    findings = find_all(dataset, num_threads, told.append)
    names = [os.path.relpath(dataset.get_data_info(i)['img_path'], folder) for i in range(len(dataset))]
    assert sum(told) == len(names) == len(EXPECTED) + len(CUT) + 1
    for i, name in enumerate(names):
        if name in EXPECTED:
            _, height, width, kinds = EXPECTED[name]
            assert {kind for kind in KINDS if i in findings.of_kind(kind)} == kinds, name
            assert findings.sides[i].tolist() == [height, width]
            assert (i in findings.errors) == ('unreadable' in kinds)
    assert [names[i] for i in findings.same_as[findings.same_as >= 0]] == ['a/plain.JPG'] * 2
    assert findings.num_bytes == sum(os.path.getsize(folder / name) for name in names)
    expected = Counter(EXPECTED[name][0] for name in names if name in EXPECTED) + Counter({'JPEG': 4, 'PNG': 1})
    assert findings.formats == expected
    shorter = sorted(min(height, width) for _, height, width, _ in EXPECTED.values() if height)
    assert findings.quantiles()[0.0] == shorter[0] and findings.quantiles()[1.0] == shorter[-1]
    assert findings.decoded_per_second > 0 and findings.num_threads == num_threads


def test_a_file_that_is_gone_is_unreadable_and_no_duplicate(tmp_path):
    folder = write_images(tmp_path / 'images', 4)
    dataset = InstanceDataset(data_root=str(folder))
    for name in ('a/000.png', 'b/001.png'):
        (folder / name).unlink()
    findings = find_all(dataset)
    assert findings.of_kind('unreadable').tolist() == [0, 2]
    assert 'FileNotFoundError' in findings.errors[0] and not len(findings.of_kind('duplicates'))


def test_tiny_among_large_ones_and_among_its_kind(tmp_path):
    write_images(tmp_path / 'all', 10, size=8)
    assert not find_all(InstanceDataset(data_root=str(tmp_path))).flags.any()  # as digits are
    for i in range(20):
        write(tmp_path / f'more/{i:02d}.jpg', encoded(crop(i), 'JPEG'))
    assert find_all(InstanceDataset(data_root=str(tmp_path))).of_kind('tiny').tolist() == list(range(10))


def test_groups_of_identical_files_are_those_of_their_contents(tmp_path):
    generator = np.random.default_rng(0)
    contents = [bytes([i]) * 5 for i in generator.integers(0, 8, 40)] + [b'', b'']
    for i, content in enumerate(contents):
        write(tmp_path / f'{i:02d}.png', content)
    findings = find_all(InstanceDataset(data_root=str(tmp_path)), 4)
    first = {content: contents.index(content) for content in contents}
    assert findings.same_as.tolist() == [
        first[content] if first[content] < i and content else -1 for i, content in enumerate(contents)]


def test_what_is_written(folder, tmp_path):
    found = json.loads(written(folder, tmp_path / 'findings.json').read_text())
    assert found['num_images'] == 29 and found['folders'] == [str(folder)]
    assert list(found['kinds']) == list(KINDS)
    everything = listed(data_root=str(folder))
    for kind, entry in found['kinds'].items():
        assert entry['count'] == len(entry['files']) and entry['about'] == KINDS[kind]
        assert all(file['path'] == everything[file['index']] for file in entry['files'])
    assert [file['same_as'] for file in found['kinds']['duplicates']['files']] == [str(folder / 'a/plain.JPG')] * 2
    tiny, = found['kinds']['tiny']['files']
    assert tiny['size'] == [5, 7]
    errors = {os.path.relpath(file['path'], folder): file['error'] for file in found['kinds']['unreadable']['files']}
    assert errors['c/empty.jpg'] == 'ValueError: empty' and errors['c/text.png'] == 'of no known format'


@pytest.mark.parametrize('kinds', [['unreadable', 'duplicates'], ['cut-off'], list(KINDS), []])
def test_training_without_some(kinds, folder, tmp_path):
    kept, left_out = without(folder, kinds, tmp_path)
    known = [name for name in left_out if name in EXPECTED]
    assert sorted(known) == sorted(name for name, entry in EXPECTED.items() if entry[3] & set(kinds))
    assert set(CUT) <= set(left_out) if 'cut-off' in kinds else True
    assert os.fsencode(folder) + b'/d/caf\xe9.jpg' in map(os.fsencode, kept)


def test_of_several_folders_and_of_a_list(folder, tmp_path):
    a, b = folder / 'a', folder / 'd'
    findings = written([b, a], tmp_path / 'findings.json')
    kept = listed(**images_without(dataset_of([b, a]), findings, ['duplicates'], tmp_path / 'names.txt'))
    everything = listed(data_root=[str(b), str(a)])
    # the first of a group stays, whatever folder it is in
    assert [path for path in everything if path not in kept] == [str(b / 'link.jpg'), str(a / 'plain.JPG')]
    (tmp_path / 'list.txt').write_text(f'{a}/plain.png\n{folder}/c/empty.jpg\n{a}/plain.bmp\n')
    findings = written(tmp_path / 'list.txt', tmp_path / 'more.json')
    kept = listed(**images_without(dataset_of(tmp_path / 'list.txt'), findings, ['unreadable'], tmp_path / 'more.txt'))
    assert kept == [str(a / 'plain.png'), str(a / 'plain.bmp')]


def test_out_of_an_archive(tmp_path):
    folder = write_images(tmp_path / 'images', 3)
    (folder / 'a/000.png').write_bytes(b'')
    path = shutil.make_archive(tmp_path / 'x', 'zip', folder)
    findings = written(path, tmp_path / 'findings.json')
    assert json.loads(findings.read_text())['folders'] == [f'packed://{path}']
    images = images_without(dataset_of(path), findings, ['empty'], tmp_path / 'names.txt')
    dataset = InstanceDataset(**images)
    assert [get(image['img_path']) for image in dataset.data_list] == [
        (folder / name).read_bytes() for name in ('a/002.png', 'b/001.png')]
    findings = written([path, folder], tmp_path / 'both.json')
    with pytest.raises(ValueError, match='one archive or several folders can be named in one list, got packed://'):
        images_without(dataset_of([path, folder]), findings, ['empty'], tmp_path / 'more.txt')


def test_a_folder_that_was_moved_and_one_that_has_changed(tmp_path):
    folder = write_images(tmp_path / 'images', 4)
    (folder / 'a/000.png').write_bytes(b'')
    findings = written(folder, tmp_path / 'findings.json')
    moved = shutil.move(folder, tmp_path / 'moved')
    kept = listed(**images_without(dataset_of(moved), findings, ['empty'], tmp_path / 'names.txt'))
    assert kept == [f'{moved}/a/002.png', f'{moved}/b/001.png', f'{moved}/b/003.png']
    shutil.copy(tmp_path / 'moved/a/002.png', tmp_path / 'moved/a/004.png')
    with pytest.raises(ValueError, match=r'findings.json is about 4 files of .*images, and the 5 of .*moved have other '
                                         'names or another order; run check again'):
        images_without(dataset_of(moved), findings, ['empty'], tmp_path / 'more.txt')


def test_what_cannot_be(tmp_path):
    folder = write_images(tmp_path / 'images', 2)
    (folder / 'a/000.png').write_bytes(b'')
    (folder / 'b/001.png').write_bytes(b'x')
    findings = written(folder, tmp_path / 'findings.json')
    for source, kinds, message in [
        (findings, ['blurred'], 'images can be left out by unreadable, cut-off, .*, got blurred'),
        (findings, ['unreadable'], 'all 2 images are unreadable, and none would be left to train on'),
        (folder / 'a/000.png', ['empty'], 'is not what check writes .*; run check again'),
        (tmp_path / 'nowhere.json', ['empty'], 'nowhere.json is not what check writes .FileNotFoundError'),
    ]:
        with pytest.raises(ValueError, match=message):
            images_without(dataset_of(folder), source, kinds, tmp_path / 'names.txt')
    with pytest.raises(ValueError, match='findings.json exists, and is not overwritten'):
        images_without(dataset_of(folder), findings, ['empty'], findings)
    (folder / 'b/0\n1.png').write_bytes(b'x')
    with pytest.raises(ValueError, match='has a line break in its name, and cannot be listed in a file; rename it'):
        images_without(dataset_of(folder), written(folder, tmp_path / 'b.json'), ['empty'], tmp_path / 'names.txt')
    assert not (tmp_path / 'names.txt').exists()
