import contextlib
import os
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import lmdb
import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import exists, get, get_file_backend, get_text, isdir, isfile
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.datasets import CustomDataset

from pic_plugin.datasets import InstanceDataset, archives, check_data
from pic_plugin.datasets.archives import located
from pic_plugin.datasets.names import Names
from pic_plugin.datasets.pack import PackWriter
from tests.tiny import write_images

LOAD = dict(type='LoadImageFromFile', color_type='grayscale')
PIPELINE = [LOAD, dict(type='RandomResizedCrop', scale=8, crop_ratio_range=(0.3, 1.0)), dict(type='PackInputs')]
KINDS = ['pack', 'zip', 'deflated zip', 'lmdb', 'lmdb file']


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def archive(kind, path, files):
    """An archive of ``files``, content by name."""
    path = f'{path}.{kind.split()[-1] if kind != "lmdb file" else "mdb"}'
    if kind == 'pack':
        writer = PackWriter(Path(path), 'test')
        for name in sorted(files):
            writer.add(files[name], False)
        writer.finish(Names.of(map(os.fsencode, sorted(files))))
    elif kind.endswith('zip'):
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED if 'deflated' in kind else zipfile.ZIP_STORED) as file:
            file.writestr('a/', '')
            for name in reversed(files):
                file.writestr(name, files[name])
    else:
        environment = lmdb.open(path, map_size=1 << 24, subdir=kind == 'lmdb')
        with environment, environment.begin(write=True) as write:
            for name in reversed(files):
                write.put(os.fsencode(name), files[name])
    return path


def contents(folder):
    return {os.path.relpath(os.path.join(path, name), folder): open(os.path.join(path, name), 'rb').read()
            for path, _, names in os.walk(folder) for name in names}


@pytest.fixture
def folder(tmp_path):
    folder = write_images(tmp_path / 'images', 11)
    for name in ('.hidden.png', 'notes.txt', 'a/caf\u00e9 \u4e2d.png'):
        (folder / name).write_bytes((folder / 'b/001.png').read_bytes())
    return folder


# which reads and decodes by itself
CROPS = [dict(type='DecodeCropResize', crops=dict(size=8)), dict(type='PackInputs')]


def views(root, num_workers=0, pipeline=PIPELINE):
    loader = Runner.build_dataloader(dict(
        batch_size=4, num_workers=num_workers,
        sampler=dict(type='SlidingWindowSampler', window_size=6, window_stride=3),
        collate_fn=dict(type='default_collate'),
        dataset=dict(type='InstanceDataset', data_root=str(root), pipeline=pipeline)), seed=1)
    return loader.dataset, torch.cat([batch['inputs'] for batch in loader])


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('pipeline', [PIPELINE, CROPS], ids=lambda pipeline: pipeline[0]['type'])
def test_an_archive_is_as_good_as_its_folder(folder, tmp_path, kind, pipeline):
    expected, expected_views = views(folder, pipeline=pipeline)
    path = archive(kind, tmp_path / 'x', contents(folder))
    for num_workers in (0, 2):  # the workers go on with what this process has opened
        data, its_views = views(path, num_workers, pipeline)
        assert torch.equal(its_views, expected_views)
    assert data.fingerprint() == expected.fingerprint()
    for i in range(len(expected)):
        paths = [dataset.get_data_info(i)['img_path'] for dataset in (data, expected)]
        assert paths[0].removeprefix(f'packed://{path}/') == os.path.relpath(paths[1], folder)
        assert get(paths[0]) == get(paths[1])


@pytest.mark.parametrize('kind', KINDS)
def test_a_part_of_an_archive(folder, tmp_path, kind):
    path = archive(kind, tmp_path / 'x', contents(folder))
    expected, part = InstanceDataset(str(folder), 'b'), InstanceDataset(path, 'b')
    assert part.fingerprint() == expected.fingerprint() == InstanceDataset(f'{path}/b/').fingerprint()
    both = [InstanceDataset([f'{root}/b', f'{root}/a']).fingerprint() for root in (folder, path)]
    assert both[0] == both[1]
    (tmp_path / 'list.txt').write_text('b/001.png\nnowhere.png\n')
    named = InstanceDataset(path, ann_file=str(tmp_path / 'list.txt'), pipeline=PIPELINE)
    assert named[0]['data_samples'].unreadable is None
    assert named[1]['data_samples'].unreadable == (
        f"packed://{path}/nowhere.png (FileNotFoundError: {path} has no 'nowhere.png')")
    with pytest.raises(ValueError, match=f'there must be images in packed://{path}/c, and there are none'):
        InstanceDataset(path, 'c')


@pytest.mark.parametrize('kind', KINDS)
def test_what_mmengine_asks_of_a_backend(folder, tmp_path, kind):
    path = archive(kind, tmp_path / 'x', contents(folder))
    root = located(path)
    assert root == f'packed://{path}' == located(root) and located(f'{path}/a') == f'{root}/a'
    assert located(str(folder)) == str(folder) and located('nowhere') == 'nowhere'
    assert get_text(f'{root}/notes.txt', 'latin') == (folder / 'notes.txt').read_text('latin')
    assert get(f'{path}/notes.txt', dict(backend='packed')) == (folder / 'notes.txt').read_bytes()
    assert [isfile(f'{root}/{name}') for name in ('notes.txt', 'a', 'nowhere', '')] == [True, False, False, False]
    assert [isdir(f'{root}/{name}') for name in ('a', '', 'notes.txt', 'no')] == [True, True, False, False]
    assert exists(f'{root}/a') and not exists('packed://nowhere/a') and not isfile('packed://nowhere')
    backend = get_file_backend(root)
    assert list(backend.list_dir_or_file(root)) == ['.hidden.png', 'a', 'b', 'notes.txt']
    assert list(backend.list_dir_or_file(root, list_file=False)) == ['a', 'b']
    assert list(backend.list_dir_or_file(f'{root}/b', suffix='1.png')) == ['001.png']
    assert sorted(contents(folder)) == list(backend.list_dir_or_file(root, list_dir=False, recursive=True))
    with pytest.raises(FileNotFoundError, match='no archive, nor a file of one: nowhere/a'):
        get('packed://nowhere/a')
    with pytest.raises(FileNotFoundError, match=f"{path} has no 'nowhere'"):
        get(f'{root}/nowhere')


def test_labelled_data_sets_of_mmpretrain(folder, tmp_path):
    path = archive('pack', tmp_path / 'x', contents(folder))
    expected, data = CustomDataset(str(folder)), CustomDataset(f'packed://{path}')
    assert data.CLASSES == expected.CLASSES == ('a', 'b')
    assert data.get_gt_labels().tolist() == expected.get_gt_labels().tolist()
    assert get(data.get_data_info(3)['img_path']) == get(expected.get_data_info(3)['img_path'])


@pytest.mark.parametrize('kind', KINDS)
def test_an_archive_that_was_replaced(folder, tmp_path, kind):
    path = archive(kind, tmp_path / 'x', contents(folder))
    assert len(InstanceDataset(path)) == 12
    other = archive(kind, tmp_path / 'other', {'z.png': b'z'})
    os.rename(path, tmp_path / 'old')
    os.rename(other, path)
    data = InstanceDataset(path)
    assert len(data) == 1 and get(data.get_data_info(0)['img_path']) == b'z'


def test_a_zip_file_that_has_a_name_twice(tmp_path):
    with zipfile.ZipFile(tmp_path / 'x.zip', 'w') as file:
        file.writestr('a.png', b'old')
        with pytest.warns(UserWarning, match='Duplicate name'):
            file.writestr('a.png', b'new')
    data = InstanceDataset(str(tmp_path / 'x.zip'))
    assert [get(image['img_path']) for image in data.data_list] == [b'new']
    with pytest.raises(FileNotFoundError, match="x.zip has no 'b.png'"):
        get(f'packed://{tmp_path}/x.zip/b.png')


def test_threads_open_a_data_base_once(folder, tmp_path, monkeypatch):
    path = archive('lmdb', tmp_path / 'x', contents(folder))
    both, opened = threading.Barrier(2, timeout=0.2), []

    def slowly(path):
        opened.append(path)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait()  # for another thread that would open it, too
        return SimpleNamespace(read=str)

    monkeypatch.setattr(archives, 'kind_of_archive', lambda name: slowly if name == path else None)
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(get, [f'packed://{path}/a', f'packed://{path}/b'])) == ['a', 'b']
    assert opened == [path]
    archives.ArchiveBackend._opened.clear()


def test_keys_without_a_suffix_and_lmdb_that_is_missing(folder, tmp_path):
    path = archive('lmdb', tmp_path / 'x', {'0001': (folder / 'a/000.png').read_bytes()})
    with pytest.raises(ValueError, match='left out: 1 without a suffix'):
        InstanceDataset(path)
    assert InstanceDataset(path, extensions=[''], pipeline=PIPELINE)[0]['data_samples'].unreadable is None
    path = archive('lmdb', tmp_path / 'y', {'1': b'2'})
    with patch.dict('sys.modules', lmdb=None), pytest.raises(ImportError, match='LMDB data base: pip install lmdb'):
        InstanceDataset(path)


def test_the_lmdb_backend_of_mmengine(folder, tmp_path):
    path = archive('lmdb', tmp_path / 'x', {name: content for name, content in contents(folder).items()
                                            if name.isascii()})
    (tmp_path / 'keys.txt').write_text('a/000.png\nnowhere.png\nb/001.png\n')
    load = dict(LOAD, backend_args=dict(backend='lmdb', db_path=path))
    data = InstanceDataset(ann_file=str(tmp_path / 'keys.txt'), pipeline=[load, *PIPELINE[1:]])
    assert [data[i]['data_samples'].unreadable for i in range(3)] == [
        None, 'nowhere.png (ValueError: empty, or not there)', None]


def test_check_data(folder, tmp_path):
    path = archive('zip', tmp_path / 'x', contents(folder))
    check_data(Config(dict(train_dataloader=dict(dataset=dict(data_root=path, data_prefix='a', ann_file='notes.txt')))))
    check_data(Config(dict(train_dataloader=dict(dataset=dict(data_root=f'{path}/b')))))
    with pytest.raises(ValueError, match=f'there is no {path}/c, which train_dataloader.dataset.data_prefix names'):
        check_data(Config(dict(train_dataloader=dict(dataset=dict(data_root=path, data_prefix='c')))))
