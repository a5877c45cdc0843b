import errno
import os
import platform
import tempfile
from unittest.mock import patch

import pytest
from mmengine.registry import init_default_scope

from pic_plugin.datasets import InstanceDataset, image_files
from pic_plugin.datasets.once_per_machine import once_per_machine
from tests.ranks import run_ranks
from tests.tiny import write_images


def listed(rank, world_size, folders, machines, seen):
    """What each rank makes of the folder that its machine has."""
    init_default_scope('mmpretrain')
    counted = []
    scandir = os.scandir
    with patch.object(platform, 'node', lambda: machines[rank]), \
            patch.object(image_files.os, 'scandir', lambda path: counted.append(path) or scandir(path)):
        try:
            images = InstanceDataset(folders[rank]).data_list
        except ValueError as error:
            return str(error)
    return [image['img_path'] for image in images], images.fingerprint(), bool(counted)


@pytest.mark.parametrize('machines', ['aaa', 'aba', 'abc'])
def test_all_ranks_see_the_same_and_one_of_each_machine_looks(tmp_path, machines):
    folder = str(write_images(tmp_path / 'images', 7))
    expected = InstanceDataset(folder).data_list
    out = run_ranks(listed, 3, [folder] * 3, machines, None)
    assert [paths for paths, _, _ in out] == [[image['img_path'] for image in expected]] * 3
    assert {fingerprint for _, fingerprint, _ in out} == {expected.fingerprint()}
    assert [looked for _, _, looked in out] == [machines.index(machine) == i for i, machine in enumerate(machines)]


def test_faults_of_one_machine_stop_all(tmp_path):
    folder, other = (str(write_images(tmp_path / name, count)) for name, count in (('x', 4), ('y', 5)))
    out = run_ranks(listed, 2, [folder, other], 'ab', None)
    assert out[0] == out[1] and out[0].startswith('all machines must see the same data: rank 0 found 4 images with f')
    assert ', and rank 1, on another machine, 5 images with fingerprint' in out[0]
    out = run_ranks(listed, 2, [folder, 'nowhere'], 'ab', None)
    assert out == ["rank 1: ValueError: there is no folder 'nowhere'", "there is no folder 'nowhere'"]


def apart(rank, world_size):
    def read(folder, written):
        if rank:
            raise FileNotFoundError(folder)
        return written
    try:
        return once_per_machine(lambda folder: ('', 'it'), read)
    except ValueError as error:
        return str(error)


def test_ranks_that_share_no_folder():
    out = run_ranks(apart, 2)
    assert out[0] == out[1] and "a machine's ranks must share a folder for files that pass" in out[0]


def without_a_folder(rank, world_size):
    with patch.object(tempfile, 'mkdtemp', side_effect=FileNotFoundError('No usable temporary directory')):
        try:
            return once_per_machine(lambda folder: ('', None), lambda folder, written: written)
        except (OSError, ValueError) as error:
            return str(error)


def test_no_rank_waits_for_one_that_can_make_no_folder():
    assert run_ranks(without_a_folder, 2) == [
        'No usable temporary directory', 'rank 0: FileNotFoundError: No usable temporary directory']


def by_a_worker(rank, world_size, folder):
    init_default_scope('mmpretrain')
    if rank == 0:
        with patch('pic_plugin.datasets.once_per_machine.get_worker_info', lambda: object()):
            return len(InstanceDataset(folder))


def test_a_worker_of_a_rank_asks_nobody(tmp_path):
    assert run_ranks(by_a_worker, 2, str(write_images(tmp_path, 4))) == [4, None]


def test_a_disk_that_is_full():
    def write(folder):
        raise OSError(errno.ENOSPC, 'No space left on device')

    with pytest.raises(OSError, match=r'set TMPDIR to a folder with more room than: .*/pic_plugin-'):
        once_per_machine(write, lambda folder, written: None)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    (tmp_path / 'one').mkdir()

    def write(folder):
        (folder / 'file').write_text('x')
        return '', folder

    folder = once_per_machine(write, lambda folder, written: written if (folder / 'file').is_file() else None)
    assert folder.parent == tmp_path and os.listdir(tmp_path) == ['one']
    with pytest.raises(ZeroDivisionError):
        once_per_machine(lambda folder: 1 / 0, lambda folder, written: None)
    assert os.listdir(tmp_path) == ['one']
