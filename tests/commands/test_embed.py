import argparse
import errno
import os
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from unittest.mock import patch

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from pic_plugin.commands import embed as command
from pic_plugin.commands.embed import add_arguments, embed, run
from pic_plugin.embedding import extraction, files
from pic_plugin.embedding.parts import Parts
from pic_plugin.evaluation.features import extract_features
from pic_plugin.model_zoo.network import load_network
from tests.model_zoo.runs import write_run
from tests.photos import crop, encoded, write

parquet = pytest.importorskip('pyarrow.parquet')


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp('run'))


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """23 images in three folders, of which two cannot be read."""
    folder = tmp_path_factory.mktemp('data') / 'images'
    for i in range(21):
        write(folder / 'abc'[i % 3] / f'{i:02d}.{"jpg" if i % 2 else "png"}',
              encoded(crop(i, 40 + i, 70 - i), 'JPEG' if i % 2 else 'PNG'))
    write(folder / 'a/bad.jpg', b'')
    write(folder / 'c/bad.png', b'no picture')
    return folder


@pytest.fixture(scope='module')
def expected(trained, images):
    """What ``extract_features`` computes for those that can be read, by their paths."""
    init_default_scope('mmpretrain')
    network = load_network(trained)
    loader = Runner.build_dataloader(dict(
        batch_size=7, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
        dataset=dict(type='CustomDataset', data_root=str(images), pipeline=network.pipeline,
                     ann_file=str(listed(images)))))
    features, _ = extract_features(network.model, loader)
    return dict(zip([loader.dataset.get_data_info(i)['img_path'] for i in range(21)], features.numpy()))


def listed(images):
    """A file that names those that can be read, with a label, which plays no part."""
    path = images.parent / 'readable.txt'
    path.write_text('\n'.join(sorted(f'{image.parent.name}/{image.name} 0' for image in images.rglob('*.*')
                                     if not image.name.startswith('bad'))))
    return path


def read(path):
    table = parquet.read_table(path)
    rows = np.stack(table['embedding'].to_numpy(zero_copy_only=False))
    return dict(zip(table['path'].to_pylist(), rows)), table


def assert_same(found, expected):
    assert list(found) == sorted(expected)  # in the order of the data set
    for path in expected:
        np.testing.assert_allclose(found[path], expected[path], rtol=1e-4, atol=1e-5)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize('batch_size, part_size', [(1, 100), (4, 10), (64, 8)])
def test_features_are_those_of_evaluation(batch_size, part_size, trained, images, expected, tmp_path, capsys):
    with patch.object(command, '_IMAGES_PER_PART', part_size):
        done = embed(images, trained, tmp_path / 'out/features.parquet', batch_size=batch_size, num_workers=0)
    found, table = read(done.path)
    assert_same(found, expected)
    assert str(table.schema.field('embedding').type) == 'fixed_size_list<element: float>[64]'
    assert table['label'].to_pylist() == [path.split('/')[-2] for path in found]
    rows = [parquet.ParquetFile(done.path).metadata.row_group(i).num_rows for i in range(-(-23 // part_size))]
    assert sum(rows) == 21 == done.num_images and max(rows) <= part_size
    assert names(tmp_path / 'out') == ['features.parquet', 'features.unreadable.txt']
    assert [line.split(' (')[0] for line in (tmp_path / 'out/features.unreadable.txt').read_text().splitlines()] == [
        f'{images}/a/bad.jpg', f'{images}/c/bad.png'] == [text.split(' (')[0] for text in done.unreadable]
    assert f'2 images could not be read and are left out; {tmp_path}/out/features.unreadable.txt names them:\n' \
           f'    {images}/a/bad.jpg (ValueError: empty, or not there)' in capsys.readouterr().out


def test_typed_with_workers_as_an_array(trained, images, expected, tmp_path):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    run(parser.parse_args([str(images), '--model', str(trained / 'backbone.pth'), '--out', str(tmp_path / 'a.npy'),
                           '--workers', '2', '--devices', 'cpu']))
    paths = (tmp_path / 'a.txt').read_text().splitlines()
    assert_same(dict(zip(paths, np.load(tmp_path / 'a.npy'))), expected)
    assert names(tmp_path) == ['a.npy', 'a.txt', 'a.unreadable.txt']


def test_two_processes(trained, images, tmp_path):
    with patch.object(command, '_IMAGES_PER_PART', 6):
        embed(images, trained, tmp_path / 'one.npy', num_workers=0, devices=['cpu'])
        embed(images, trained, tmp_path / 'two.npy', num_workers=0, devices=['cpu', 'cpu'])
    assert (tmp_path / 'one.npy').read_bytes() == (tmp_path / 'two.npy').read_bytes()
    assert (tmp_path / 'one.txt').read_text() == (tmp_path / 'two.txt').read_text()


class Stopping:
    """Stops the work when it comes to the n-th part."""

    def __init__(self, parts, error):
        self.parts, self.error, self.written = parts, error, []
        self.real = Parts.write

    def __enter__(self):
        def write(parts, number, part):
            if len(self.written) == self.parts:
                raise self.error
            self.written.append(number)
            self.real(parts, number, part)
        self.patch = patch.object(Parts, 'write', write)
        self.patch.start()
        return self

    def __exit__(self, *_):
        self.patch.stop()


@pytest.mark.parametrize('suffix', ['parquet', 'npy'])
def test_work_that_was_stopped_goes_on(suffix, trained, images, tmp_path):
    with patch.object(command, '_IMAGES_PER_PART', 4):
        embed(images, trained, tmp_path / f'whole.{suffix}', num_workers=0)
        with Stopping(2, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
            embed(images, trained, tmp_path / f'a.{suffix}', num_workers=0)
        assert not (tmp_path / f'a.{suffix}').exists()
        with Stopping(99, None) as work:
            embed(images, trained, tmp_path / f'a.{suffix}', num_workers=0)
        assert work.written == [2, 3, 4, 5]
    assert (tmp_path / f'a.{suffix}').read_bytes() == (tmp_path / f'whole.{suffix}').read_bytes()
    assert not list(tmp_path.glob('*.parts'))


def test_work_that_was_stopped_while_it_was_put_together_goes_on(trained, images, tmp_path):
    embed(images, trained, tmp_path / 'whole.npy', num_workers=0)
    real = os.replace

    def replace(source, target):
        if str(target).endswith('a.npy'):
            raise KeyboardInterrupt
        real(source, target)
    with patch.object(os, 'replace', replace), pytest.raises(KeyboardInterrupt):
        embed(images, trained, tmp_path / 'a.npy', num_workers=0)
    with patch.object(extraction, 'features_of', side_effect=AssertionError):  # nothing is computed again
        embed(images, trained, tmp_path / 'a.npy', num_workers=0)
    for name in ('{}.npy', '{}.txt', '{}.unreadable.txt'):
        assert (tmp_path / name.format('a')).read_bytes() == (tmp_path / name.format('whole')).read_bytes()


def test_a_full_disk_loses_nothing(trained, images, tmp_path):
    full = OSError(errno.ENOSPC, 'No space left on device')
    with patch.object(command, '_IMAGES_PER_PART', 4):
        with Stopping(3, full), pytest.raises(ValueError, match='no room left on the disk of .*; make room and give'):
            embed(images, trained, tmp_path / 'a.npy', num_workers=0)
        with Stopping(99, None) as work:
            embed(images, trained, tmp_path / 'a.npy', num_workers=0)
    assert work.written == [3, 4, 5]


def test_other_work_is_not_continued(trained, images, tmp_path):
    write_run(tmp_path / 'other', scale=0.5)
    with Stopping(0, KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        embed(images, trained, tmp_path / 'a.npy', num_workers=0)
    for data, model, what in [(images / 'a', trained, 'images'), (images, tmp_path / 'other', 'weights')]:
        with pytest.raises(ValueError, match=f'a.npy.parts was begun with another {what}; remove it, or give another'):
            embed(data, model, tmp_path / 'a.npy', num_workers=0)
    embed(images, trained, tmp_path / 'a.npy', num_workers=0)


def test_not_two_at_the_same_time(trained, images, tmp_path):
    def again(*_, **__):
        embed(images, trained, tmp_path / 'a.npy', num_workers=0)
    with patch.object(extraction, 'evaluated_batches', side_effect=again), \
            pytest.raises(ValueError, match='another process is writing .*a.npy; wait for it'):
        embed(images, trained, tmp_path / 'a.npy', num_workers=0)


def test_one_image_and_no_classes(trained, tmp_path):
    write(tmp_path / 'images/0.png', encoded(crop(0), 'PNG'))
    embed(tmp_path / 'images', trained, tmp_path / 'a.parquet', num_workers=0)
    found, table = read(tmp_path / 'a.parquet')
    assert table.column_names == ['path', 'embedding'] and list(found) == [f'{tmp_path}/images/0.png']
    assert names(tmp_path) == ['a.parquet', 'images']


def test_names_that_are_not_utf_8(trained, tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images/caf\udce9 名.png').write_bytes(encoded(crop(0), 'PNG'))
    for suffix in ('npy', 'parquet'):
        embed(tmp_path / 'images', trained, tmp_path / f'a.{suffix}', num_workers=0)
    assert (tmp_path / 'a.txt').read_bytes() == os.fsencode(tmp_path) + b'/images/caf\xe9 \xe5\x90\x8d.png\n'
    assert list(read(tmp_path / 'a.parquet')[0]) == [f'{tmp_path}/images/caf\\udce9 名.png']


def test_what_cannot_be(trained, images, tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'b.txt').write_text('mine')
    (tmp_path / 'c.parquet').write_text('mine')
    (tmp_path / 'bad').mkdir()
    (tmp_path / 'bad/0.png').write_bytes(b'')
    (tmp_path / 'bad/1.png').write_bytes(b'x')
    for changed, message in [
        (dict(data=tmp_path / 'empty'), 'there must be images in .*empty'),
        (dict(data=tmp_path / 'bad'), 'none of the 2 images could be read; the first: .*bad/0.png .ValueError: empty'),
        (dict(out=tmp_path / 'a.csv'), '--out must end with .parquet or .npy, got .*a.csv'),
        (dict(out=tmp_path / 'b.npy'), 'b.txt exists, and is not overwritten'),
        (dict(out=tmp_path / 'c.parquet'), 'c.parquet exists, and is not overwritten'),
        (dict(model=tmp_path / 'nowhere'), 'nowhere is neither a checkpoint nor a work directory'),
        (dict(batch_size=0), 'batch_size must be positive'),
        (dict(devices=['cuda:0']), 'there is no cuda:0: torch sees 0 GPUs; leave out --devices'),
        (dict(devices=['gpu']), '--devices must be names as cpu or cuda:0, got gpu'),
    ]:
        arguments = dict(data=images, model=trained, out=tmp_path / 'a.npy', num_workers=0) | changed
        with pytest.raises(ValueError, match=message):
            embed(**arguments)
    assert names(tmp_path) == ['a.npy.parts', 'b.txt', 'bad', 'c.parquet', 'empty']
    assert (tmp_path / 'b.txt').read_text() == (tmp_path / 'c.parquet').read_text() == 'mine'


def test_no_room_on_the_device(trained, images, tmp_path):
    with patch.object(extraction, 'features_of', side_effect=torch.cuda.OutOfMemoryError), \
            pytest.raises(ValueError, match='cpu has no room for 7 images at once; give a smaller --batch-size'):
        embed(images, trained, tmp_path / 'a.npy', batch_size=8, num_workers=0)


def test_a_process_that_is_killed(trained, images, tmp_path):
    class Killed(ThreadPoolExecutor):
        def __init__(self, *_):
            super().__init__()

        def submit(self, *_):
            return super().submit(self.fail)

        def fail(self):
            raise BrokenProcessPool
    with patch.object(extraction, 'ProcessPoolExecutor', Killed), \
            pytest.raises(ValueError, match='a process was killed, for want of memory perhaps: .* the same command'):
        embed(images, trained, tmp_path / 'a.npy', devices=['cpu', 'cpu'])


def test_images_of_several_sizes(trained, images, tmp_path):
    config = trained / 'small.py'
    changed = tmp_path / 'changed.py'
    changed.write_text(config.read_text().replace("dict(type='CenterCrop', crop_size=32), ", ''))
    with pytest.raises(ValueError, match=r'must give images of one size, and gave \(3, 32, .*end with a CenterCrop'):
        embed(images, trained, tmp_path / 'a.npy', config=str(changed), num_workers=0)


def test_without_pyarrow(trained, images, tmp_path):
    with patch.object(files, 'find_spec', lambda name: None if name == 'pyarrow' else find_spec(name)), \
            pytest.raises(ValueError, match='a.parquet needs the package pyarrow: pip install pyarrow; or give'):
        embed(images, trained, tmp_path / 'a.parquet')
