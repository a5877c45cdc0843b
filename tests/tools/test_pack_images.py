import os
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import PIL.Image
import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine.fileio import get
from mmengine.registry import init_default_scope

from pic_plugin.datasets import InstanceDataset
from pic_plugin.datasets.any_depth import LoadImageOfAnyDepth
from tests.tiny import ROOT, write_images
from tests.tools.scripts import run_tool

PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def pack(*arguments):
    run_tool('pack_images.py', *arguments)


def smooth(height, width, seed=0):
    """A picture that JPEG can encode well."""
    image = np.random.default_rng(seed).integers(64, 192, (3, 4, 3), np.uint8)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def folder(tmp_path):
    folder = write_images(tmp_path / 'images', 5)
    cv2.imwrite(str(folder / 'wide.png'), smooth(60, 90))
    turned = PIL.Image.fromarray(smooth(60, 90, 1)[..., ::-1])
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    turned.save(folder / 'turned.jpg', quality=98, exif=exif)
    cv2.imwrite(str(folder / 'deep.png'), np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))  # of 12 bits
    PIL.Image.fromarray(smooth(64, 64)).convert('CMYK').save(folder / 'cmyk.jpg')
    (folder / 'a/broken.png').write_text('hello')
    (folder / 'a/empty.png').touch()
    (folder / '.hidden.png').touch()
    with open(os.fsencode(folder) + b'/caf\xe9.png', 'wb') as file:
        file.write((folder / 'wide.png').read_bytes())
    return folder


def test_a_pack_is_its_folder_bit_by_bit(folder, tmp_path, capsys):
    pack(folder, tmp_path / 'x.pack')
    expected, data = (InstanceDataset(str(root), pipeline=PIPELINE) for root in (folder, tmp_path / 'x.pack'))
    assert data.fingerprint() == expected.fingerprint() and len(data) == 12
    for i in range(len(data)):
        assert get(data.get_data_info(i)['img_path']) == get(expected.get_data_info(i)['img_path'])
    assert os.listdir(tmp_path / 'images/a') and sorted(os.listdir(tmp_path)) == ['images', 'x.pack']
    assert '12 images, ' in capsys.readouterr().out
    pack(tmp_path / 'x.pack', tmp_path / 'y.pack')
    assert (tmp_path / 'y.pack').read_bytes() == (tmp_path / 'x.pack').read_bytes()


def test_shrunk_images_are_what_a_loader_makes_of_the_files_in_small(folder, tmp_path, capsys):
    pack(folder, tmp_path / 'x.pack', '--short-side', 32, '--quality', 95)
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if 'cannot' in line][:2] == [
        'copied as it is, cannot be decoded: a/broken.png', 'copied as it is, cannot be decoded: a/empty.png']
    expected, data = (InstanceDataset(str(root)) for root in (folder, tmp_path / 'x.pack'))
    assert data.fingerprint() == expected.fingerprint()
    sizes = {}
    for i in range(len(data)):
        paths = [dataset.get_data_info(i)['img_path'] for dataset in (data, expected)]
        name = os.path.relpath(paths[1], folder)
        if name in ('a/broken.png', 'a/empty.png') or name.startswith(('a/', 'b/')):
            assert get(paths[0]) == get(paths[1])  # small already; a JPEG of noise is larger
            continue
        ours, whole = (load(path) for path in paths)
        sizes[name] = ours.shape[:2]
        shrunk = cv2.resize(whole, ours.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(ours.astype(int) - shrunk).mean() < 6 < np.abs(ours.astype(int) - shrunk[::-1]).mean()
    assert sizes == {'wide.png': (32, 48), 'turned.jpg': (48, 32), 'deep.png': (32, 32), 'cmyk.jpg': (32, 32),
                     'caf\udce9.png': (32, 48)}


def load(path):
    return LoadImageOfAnyDepth(LoadImageFromFile()).transform({'img_path': path})['img']


def test_images_that_need_not_be_shrunk_are_copied(folder, tmp_path):
    pack(folder, tmp_path / 'x.pack', '--short-side', 64)
    pack(folder, tmp_path / 'y.pack')
    assert (tmp_path / 'x.pack').read_bytes() == (tmp_path / 'y.pack').read_bytes()


def test_several_folders(folder, tmp_path):
    other = write_images(tmp_path / 'elsewhere/images-2', 3)
    pack(other, f'{folder}/', tmp_path / 'x.pack')
    roots = [str(other), str(folder)], [f'{tmp_path}/x.pack/images-2', f'{tmp_path}/x.pack/images']
    fingerprints = [InstanceDataset(some).fingerprint() for some in roots]
    assert fingerprints[0] == fingerprints[1]
    both = shutil.copytree(folder, tmp_path / 'both/images').parent
    shutil.copytree(other, both / 'images-2')
    assert InstanceDataset(str(tmp_path / 'x.pack')).fingerprint() == InstanceDataset(str(both)).fingerprint()
    with pytest.raises(ValueError, match='folders that share a pack must have names of their own, got'):
        pack(folder, f'{both}/images', tmp_path / 'y.pack')


def test_a_packing_that_is_killed_is_gone_on_with(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for i in range(300):
        cv2.imwrite(str(folder / f'{i}.png'), smooth(40, 50, i))
    code = ('import sys, pic_plugin.datasets.pack as pack; pack._FLUSH_BYTES = 0; sys.argv = sys.argv[1:]; '
            'import runpy; runpy.run_path(sys.argv[0], run_name="__main__")')
    command = [sys.executable, '-c', code, str(ROOT / 'tools/pack_images.py'), str(folder), str(tmp_path / 'x.pack'),
               '--quality', '70']
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    records = tmp_path / 'x.pack.partial/records'
    while process.poll() is None and not (records.exists() and records.stat().st_size):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / 'x.pack').exists() and records.stat().st_size < 300 * 16
    with pytest.raises(ValueError, match=r'was begun with 300 images .* --quality 70, and now it is .* --quality 80'):
        pack(folder, tmp_path / 'x.pack', '--quality', 80)
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert f'going on with {tmp_path}/x.pack.partial, ' in out
    pack(folder, tmp_path / 'y.pack', '--quality', 70)
    assert (tmp_path / 'x.pack').read_bytes() == (tmp_path / 'y.pack').read_bytes()


def test_verify(folder, tmp_path, capsys):
    path = tmp_path / 'x.pack'
    pack(folder, path)
    with pytest.raises(SystemExit) as end:
        pack('--verify', path)
    assert end.value.code == 0
    path.write_bytes(path.read_bytes().replace(b'hello', b'hullo', 1))
    with pytest.raises(SystemExit) as end:
        pack('--verify', path)
    assert end.value.code == 1 and capsys.readouterr().out.splitlines()[-2:] == [
        'altered: a/broken.png', f'{path}: 1 images are altered']


@pytest.mark.parametrize('arguments, message', [
    (['images', 'x.pack', '--quality', '101'], r'quality must be in 1-100, got 101'),
    (['images', 'x.pack', '--short-side', '0'], 'short_side must be positive, got 0'),
    (['nowhere', 'x.pack'], "there is no folder 'nowhere'"),
    (['images', 'images'], 'images is there already; remove it, or name another file'),
])
def test_wrong_arguments(folder, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        pack(*arguments)
    assert os.listdir(tmp_path) == ['images']


@pytest.mark.parametrize('arguments', [['x.pack'], ['images', 'x.pack', '--verify']])
def test_what_to_do_must_be_clear(arguments, capsys):
    with pytest.raises(SystemExit):
        pack(*arguments)
    assert 'name folders and a pack to write, or --verify and a pack to read' in capsys.readouterr().err
