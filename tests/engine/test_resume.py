"""A run that is killed anywhere and resumed ends with the bits of the run that was not."""
import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch

from tests.engine import train_tiny
from tests.ranks import PROCESSES
from tests.tiny import assert_same, write_images

NUM_EPOCHS = 12


def start(tmp_path, name, world_size, changes, resume=False, kill=None):
    """The processes of one run, one a rank."""
    rendezvous = tmp_path / f'rendezvous-{time.time_ns()}'
    processes = []
    for rank in range(world_size):
        options = dict(rank=rank, world_size=world_size, images=str(tmp_path / 'images'), changes=changes,
                       work_dir=str(tmp_path / name), result=str(tmp_path / f'{name}.pt'), resume=resume, kill=kill,
                       rendezvous=str(rendezvous))
        output = str(tmp_path / f'{name}-{rank}.log')
        processes.append(PROCESSES.Process(target=train_tiny.main, args=(options, output)))
        processes[-1].start()
    return processes


def kill(processes):
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with the loader's workers
        process.kill()  # where it has no group of its own yet
        process.join()


def finish(processes):
    """Wait for all; where one ends badly, kill the others.  True if all went well."""
    while any(process.is_alive() for process in processes):
        if any(process.exitcode not in (None, 0) for process in processes):
            kill(processes)
        time.sleep(0.05)
    return all(process.exitcode == 0 for process in processes)


def run(tmp_path, name, world_size, changes, **kwargs):
    processes = start(tmp_path, name, world_size, changes, **kwargs)
    assert finish(processes), (tmp_path / f'{name}-0.log').read_text()
    return torch.load(tmp_path / f'{name}.pt', weights_only=True)


def checkpoint_is_whole(work_dir):
    """The file that last_checkpoint names is there, with the rows that it names."""
    pointer = work_dir / 'last_checkpoint'
    if pointer.exists():
        path = Path(pointer.read_text())
        meta = torch.load(path, weights_only=True)['meta']
        assert (path.parent / meta['instance_rows']['folder'] / 'SHA256SUMS').exists()


def settings(num_workers, **changes):
    return {'train_dataloader.num_workers': num_workers, 'train_dataloader.persistent_workers': num_workers > 0,
            'train_cfg.max_epochs': NUM_EPOCHS, 'default_hooks.checkpoint.max_keep_ckpts': 1,
            'model.backbone.dropout': 0.2, **changes}


# (name, which call, after it) of what the checkpoint hook calls on rank 0
SAVING = [('save_rows', 3, False), ('save_gradients', 1, True), ('load_tensors_only', 3, False),
          ('make_way', 2, True), ('publish', 4, False), ('publish', 4, True), ('publish', 5, True),
          ('publish', 6, True), ('retire', 2, True), ('clear_scratch', 5, False)]


def test_killed_while_saving(tmp_path):
    world_size = 2
    write_images(tmp_path / 'images', 23)
    changes = settings(0, **{'optim_wrapper.accumulative_counts': 2})  # an epoch has 3 iterations
    expected = run(tmp_path, 'whole', world_size, changes)
    for i, point in enumerate(SAVING):
        processes = start(tmp_path, 'killed', world_size, changes, resume=i > 0, kill=point)
        assert not finish(processes)
        assert processes[0].exitcode == -signal.SIGKILL, (tmp_path / 'killed-0.log').read_text()
        checkpoint_is_whole(tmp_path / 'killed')
    assert_same(run(tmp_path, 'killed', world_size, changes, resume=True), expected)
    assert not (tmp_path / 'killed/partial').exists()
    assert sorted(path.name for path in (tmp_path / 'killed').glob('epoch_*')) == [
        f'epoch_{NUM_EPOCHS}.pth', f'epoch_{NUM_EPOCHS}.rows']


@pytest.mark.parametrize('num_workers, world_size, changes', [
    (2, 1, {'model.head.num_negatives': None, 'model.head.label_smoothing': 0.2, 'model.head.num_hard_classes': 3,
            'optim_wrapper.accumulative_counts': 4}),
    (2, 2, {}),
    (0, 2, {'model.head.table': 'disk', 'optim_wrapper.accumulative_counts': 2}),  # an epoch has 3 iterations
])
def test_killed_at_random_moments(tmp_path, num_workers, world_size, changes):
    write_images(tmp_path / 'images', 23)
    # the uninterrupted run has no workers: the views do not depend on their number
    expected = run(tmp_path, 'whole', world_size, settings(0, **changes))
    moments = random.Random(world_size)
    for attempt in range(3):
        processes = start(tmp_path, 'killed', world_size, settings(num_workers, **changes), resume=attempt > 0)
        while not (tmp_path / 'killed/started-0').exists() and processes[0].is_alive():
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 1.0))
        kill(processes)
        (tmp_path / 'killed/started-0').unlink(missing_ok=True)
        checkpoint_is_whole(tmp_path / 'killed')
    assert_same(run(tmp_path, 'killed', world_size, settings(num_workers, **changes), resume=True), expected)


def test_the_table_on_disk_and_in_memory_give_the_same_bits(tmp_path):
    write_images(tmp_path / 'images', 23)
    runs = [run(tmp_path, table, 2, settings(0, **{'model.head.table': table})) for table in ('memory', 'disk')]
    assert_same(*runs)


def test_a_checkpoint_of_three_ranks_resumes_on_two_and_on_one(tmp_path):
    write_images(tmp_path / 'images', 23)
    changes = settings(0, **{'train_cfg.max_epochs': 3, 'model.head.table': 'disk', 'model.head.num_negatives': 12})
    expected = run(tmp_path, 'three', 3, changes)
    for world_size in (2, 1):  # nothing is left to train: what was loaded
        assert_same(run(tmp_path, 'three', world_size, changes, resume=True), expected)
