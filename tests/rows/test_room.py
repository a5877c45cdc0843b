import shutil
from types import SimpleNamespace

import pytest
import torch

from pic_plugin.engine import WeightCorrectingOptimWrapper
from pic_plugin.models import CosineInstanceHead
from pic_plugin.rows import DiskTable, MemoryTable, room
from pic_plugin.sharding import Ranks
from pic_plugin.sharding import ranks as ranks_module
from tests.ranks import run_ranks

BYTES_PER_ROW = 2 * 4 * 4 + 4  # weight and momentum of 4 channels, and a clock


def allocate(num_instances, table, table_dir, ranks):
    head = CosineInstanceHead(8, 4, table=table)
    wrapper = WeightCorrectingOptimWrapper(torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9))
    wrapper.track_rows(head.weight, ranks)
    head.allocate_rows(num_instances, 4, wrapper, ranks, 0, str(table_dir))
    return head.allocated.rows.table


@pytest.mark.parametrize('table, there, resource', [
    ('memory', 990, r'of memory on this machine, which has 990 \(0.0 GB\); set model.head.table=.disk., or use more'),
    ('disk', 899, r'once every row was visited, and .*/table has 899 \(0.0 GB\) free; set model.head.table_dir to'),
])
def test_what_is_too_small_is_found_before_training(monkeypatch, tmp_path, table, there, resource):
    monkeypatch.setattr(room.os, 'sysconf', lambda name: there if name == 'SC_PHYS_PAGES' else 1)
    monkeypatch.setattr(room.shutil, 'disk_usage', lambda folder: SimpleNamespace(free=there))
    enough = there // BYTES_PER_ROW
    kind = MemoryTable if table == 'memory' else DiskTable
    assert isinstance(allocate(enough, table, tmp_path / 'table', Ranks()), kind)
    needed = (enough + 1) * BYTES_PER_ROW
    with pytest.raises(ValueError, match=rf'the table of rows needs {needed:,} bytes \(0.0 GB\) {resource}'):
        allocate(enough + 1, table, tmp_path / 'table', Ranks())


def test_the_disk_that_is_asked_is_the_tables(tmp_path):
    allocate(10, 'disk', tmp_path / 'a/b', Ranks())
    needed = (shutil.disk_usage(tmp_path).free // BYTES_PER_ROW) * 2
    with pytest.raises(ValueError, match=f'and {tmp_path}/a/b has'):
        allocate(needed, 'disk', tmp_path / 'a/b', Ranks())


def on_a_rank(rank, world_size, folder, free):
    room.shutil.disk_usage = lambda folder: SimpleNamespace(free=free)
    try:
        allocate(30, 'disk', folder, Ranks.of_world())
    except ValueError as error:
        return str(error)
    return None


def test_the_ranks_of_a_machine_share_its_disk(tmp_path):
    needed = 30 * BYTES_PER_ROW
    assert run_ranks(on_a_rank, 2, str(tmp_path), needed) == [None, None]
    for message in run_ranks(on_a_rank, 2, str(tmp_path), needed - 1):
        assert f'needs {needed:,} bytes' in message


def on_a_machine_of_its_own(rank, world_size, folder, table_dir):
    ranks_module.platform.node = lambda: f'machine-{rank}'
    head = CosineInstanceHead(8, 4, table='disk', table_dir=table_dir)
    wrapper = WeightCorrectingOptimWrapper(torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9))
    ranks = Ranks.of_world()
    wrapper.track_rows(head.weight, ranks)
    try:
        head.allocate_rows(30, 4, wrapper, ranks, 0, folder)
    except ValueError as error:
        return str(error)
    return None


def test_several_machines_need_a_local_folder(tmp_path):
    for message in run_ranks(on_a_machine_of_its_own, 2, str(tmp_path / 'shared'), None):
        assert 'model.head.table_dir must be given' in message
    assert not (tmp_path / 'shared').exists()
    assert run_ranks(on_a_machine_of_its_own, 2, str(tmp_path / 'shared'), str(tmp_path / 'local')) == [None, None]


@pytest.mark.parametrize('options, message', [
    (dict(table='tape'), "table must be 'memory' or 'disk', got 'tape'"),
    (dict(table='disk', num_negatives=None), "table='disk' needs num_negatives"),
])
def test_no_such_table(options, message):
    with pytest.raises(ValueError, match=message):
        CosineInstanceHead(**options)
