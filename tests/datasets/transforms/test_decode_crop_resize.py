"""Against what it takes the place of: mmcv's loader, and mmpretrain's crop with Pillow's resize."""
import io
import re
import sys
from pathlib import Path

import cv2
import mmcv
import numpy as np
import PIL.Image
import pytest
import sklearn.datasets
import torch
import torchvision.transforms as T
from mmcv.transforms import LoadImageFromFile
from mmengine.registry import init_default_scope

from pic_plugin.datasets import DecodeCropResize, InstanceDataset, jpeg
from pic_plugin.datasets.any_depth import LoadImageOfAnyDepth
from pic_plugin.datasets.sliding_window_sampler import StreamIndex
from pic_plugin.datasets.transforms.decode_crop_resize import RandomCrop
from pic_plugin.functional.hashing import Draws, hash64

from .distributions import NUM, differ, differ_in_counts

PHOTO = PIL.Image.open(Path(sklearn.datasets.__file__).parent / 'images/china.jpg').crop((0, 0, 500, 375))
CROP = dict(size=64, scale=(0.2, 1.0))
SHRUNK = 1.0  # levels of 255, the mean difference where the decoder shrinks; otherwise some are rounded to the next


def saved(image, format='JPEG', **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def turned(orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return saved(PHOTO, quality=92, exif=exif)


DEPTH_16 = cv2.imencode('.png', np.asarray(PHOTO).astype(np.uint16) * 256 + 77)[1].tobytes()
FILES = {
    'jpeg': saved(PHOTO, quality=92), 'progressive': saved(PHOTO, quality=92, progressive=True),
    '4:4:4': saved(PHOTO, quality=92, subsampling=0), 'grey': saved(PHOTO.convert('L')),
    'cmyk': saved(PHOTO.convert('CMYK')), 'png': saved(PHOTO, 'PNG'), 'grey png': saved(PHOTO.convert('L'), 'PNG'),
    'transparent png': saved(PHOTO.convert('RGBA'), 'PNG'), 'palette': saved(PHOTO.convert('P'), 'PNG'),
    '16 bits': DEPTH_16, 'webp': saved(PHOTO, 'WEBP'), 'narrow': saved(PHOTO.crop((0, 0, 3, 375)), quality=92),
    'tiny': saved(PHOTO.resize((2, 1))), 'with more behind': saved(PHOTO, quality=92) + b'more' * 100,
    **{f'exif {i}': turned(i) for i in range(1, 9)}, 'broken exif': saved(PHOTO, exif=b'Exif\0\0MM\0*junk'),
}


def todays(path, box, size):
    """Pixels of the pipeline that there was before."""
    image = LoadImageOfAnyDepth(LoadImageFromFile())({'img_path': str(path)})['img']
    top, left, height, width = box
    part = image[top:top + height, left:left + width]
    return image.shape[:2], mmcv.imresize(part, (size, size), interpolation='bilinear', backend='pillow')


def compare(path, crop, keys=range(8)):
    """The mean and the largest difference, and by how much the decoder may shrink the image."""
    transform, differences, factors = DecodeCropResize(crop), [], set()
    for key in keys:
        given = transform({'img_path': str(path), 'draws': Draws(key)})
        box = transform.crops[0].draw(Draws(key), *given['ori_shape'])
        size, expected = todays(path, box, crop['size'])
        assert given['ori_shape'] == size and given['img_shape'] == given['img'].shape[:2] == expected.shape[:2]
        assert given['img'].dtype == np.uint8
        differences.append(np.abs(given['img'].astype(float) - expected))
        factors.add(transform._factor([box]))
    return np.mean(differences), np.max(differences), factors


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize('size', [224, 32])
@pytest.mark.parametrize('installed', [True, False])
def test_pixels_are_those_of_today(tmp_path, monkeypatch, name, size, installed):
    path = tmp_path / 'a.JPEG'  # whatever it is, as in ImageNet
    path.write_bytes(FILES[name])
    if not installed:
        monkeypatch.setattr('pic_plugin.datasets.jpeg.simplejpeg', lambda: None)
    mean, largest, factors = compare(path, dict(size=size, scale=(0.2, 1.0)))
    shrinks = jpeg.jpeg_size(FILES[name]) is not None and factors != {1}
    assert shrinks == (installed and size == 32 and name in (
        'jpeg', 'progressive', '4:4:4', 'grey', 'with more behind', 'exif 1', 'broken exif'))
    assert 0.1 < mean < SHRUNK if shrinks else mean < 0.1 and largest <= 1


@pytest.mark.parametrize('before', [b'', b'\xff', b'\xff\xe2\0\x06abcd', b'\xff\xe1\0\x06http\xff\xff\xff'])
def test_exif_is_found_behind_other_segments(before):
    content = turned(6)
    assert content[:2] == b'\xff\xd8' and jpeg.jpeg_size(FILES['jpeg']) == jpeg.jpeg_size(turned(1)) == (375, 500)
    assert jpeg.jpeg_size(content[:2] + before + content[2:]) is None
    assert jpeg.jpeg_size(FILES['jpeg'][:2] + before + FILES['jpeg'][2:]) == (375, 500)


def test_large_photographs_are_decoded_at_an_eighth_to_a_half(tmp_path):
    (tmp_path / 'a.jpg').write_bytes(saved(PHOTO.resize((1501, 1127), PIL.Image.Resampling.BICUBIC), quality=92))
    all_factors = set()
    for size, scale in ((224, (0.2, 1.0)), (96, (0.2, 1.0)), (96, (0.08, 0.14)), (48, (0.5, 1.0))):
        mean, _, factors = compare(tmp_path / 'a.jpg', dict(size=size, scale=scale), range(12))
        assert mean < SHRUNK
        all_factors |= factors
    assert all_factors == {1, 2, 4, 8}


def test_several_views_of_one_decoded_image(tmp_path, monkeypatch):
    (tmp_path / 'a.jpg').write_bytes(FILES['jpeg'])
    large, small = dict(size=100, scale=(0.5, 1.0)), dict(size=40, scale=(0.1, 0.2))
    transform, calls, decode = DecodeCropResize([large, small, small]), [], jpeg.decode_jpeg
    monkeypatch.setattr('pic_plugin.datasets.transforms.decode_crop_resize.decode_jpeg',
                        lambda *args: calls.append(args[2]) or decode(*args))
    views = transform({'img_path': str(tmp_path / 'a.jpg'), 'draws': Draws(5)})['img']
    assert calls == [2] and [view.shape for view in views] == [(100, 100, 3), (40, 40, 3), (40, 40, 3)]
    draws = Draws(5)
    for view, crop in zip(views, transform.crops):
        expected = todays(tmp_path / 'a.jpg', crop.draw(draws, 375, 500), crop.size)[1]
        assert np.abs(view.astype(float) - expected).mean() < 2 * SHRUNK
    assert (views[1] != views[2]).any()


@pytest.mark.parametrize('name', ['jpeg', 'png', 'cmyk', 'exif 6', '16 bits'])
@pytest.mark.parametrize('keep', [0, 1, 20, 0.3, 0.9])
def test_files_that_are_cut_off_are_named_or_read_as_today(tmp_path, name, keep):
    init_default_scope('mmpretrain')
    for i in range(3):
        (tmp_path / f'{i}.jpg').write_bytes(FILES['jpeg'])
    content = FILES[name]
    (tmp_path / '1.jpg').write_bytes(content[:int(keep * len(content)) if keep < 1 else keep])
    pack = dict(type='PackInputs')
    ours = InstanceDataset(str(tmp_path), pipeline=[dict(type='DecodeCropResize', crops=CROP), pack])
    before = InstanceDataset(str(tmp_path), pipeline=[dict(type='LoadImageFromFile'), pack])[1]['data_samples']
    sample = ours[StreamIndex(1, 3)]
    assert (sample['data_samples'].unreadable is None) == (before.unreadable is None)
    if before.unreadable:
        without_address = [re.sub(r' at 0x\w+', '', text) for text in (
            sample['data_samples'].unreadable, before.unreadable)]
        assert without_address[0] == without_address[1]
        assert sample['data_samples'].unreadable.startswith(f'{tmp_path}/1.jpg (')
    assert sample['inputs'].shape == (3, 64, 64) and sample['inputs'].is_contiguous()


def test_crops_are_distributed_as_torchvisions():
    crop, torch_image = RandomCrop(224, (0.2, 1.0)), torch.empty(3, 375, 500)
    ours = [crop.draw(Draws(key), 375, 500) for key in hash64(torch.arange(NUM)).tolist()]
    torch.manual_seed(0)
    theirs = [T.RandomResizedCrop.get_params(torch_image, (0.2, 1.0), (3 / 4, 4 / 3)) for _ in range(NUM)]
    assert not differ(ours, theirs)
    other = RandomCrop(224, (0.25, 1.0))
    assert differ([other.draw(Draws(key), 375, 500) for key in hash64(torch.arange(NUM)).tolist()], theirs)


def test_crops_of_a_tiny_image_are_distributed_as_torchvisions():
    crop, torch_image = RandomCrop(8, (0.1, 1.0)), torch.empty(3, 3, 4)
    ours = [crop.draw(Draws(key), 3, 4) for key in range(NUM)]
    torch.manual_seed(0)
    theirs = [T.RandomResizedCrop.get_params(torch_image, (0.1, 1.0), (3 / 4, 4 / 3)) for _ in range(NUM)]
    assert not differ_in_counts(ours, theirs)


@pytest.mark.parametrize('height, width', [(10, 1000), (1000, 10), (1, 500), (500, 1), (1, 1)])
def test_the_middle_where_no_crop_fits(height, width):
    scale = (0.9, 1.0) if height != width else (1e-9, 1e-8)  # less than a pixel
    expected = T.RandomResizedCrop.get_params(torch.empty(3, height, width), scale, (3 / 4, 4 / 3))
    assert RandomCrop(224, scale).draw(Draws(0), height, width) == expected


def test_where_it_is_not_installed_the_log_says_so_once(monkeypatch):
    jpeg.simplejpeg.cache_clear()
    monkeypatch.setitem(sys.modules, 'simplejpeg', None)
    lines = []
    monkeypatch.setattr(jpeg, 'print_log', lambda text, *args: lines.append(text))
    try:
        for _ in range(3):
            DecodeCropResize(CROP)
        assert jpeg.jpeg_size(FILES['jpeg']) is None
        line, = lines
        assert line.startswith('JPEG files are decoded by OpenCV: simplejpeg, which is faster')
    finally:
        jpeg.simplejpeg.cache_clear()


@pytest.mark.parametrize('build, message', [
    (lambda: DecodeCropResize([]), r'crops must be dict\(size=..., scale=...\) or a list of such, got \[\]'),
    (lambda: DecodeCropResize(224), r'crops must be .*, got 224'),
    (lambda: DecodeCropResize([224]), r'crops must be .*, got \[224\]'),
    (lambda: DecodeCropResize(dict(size=0)), 'size must be positive, got 0'),
    (lambda: DecodeCropResize(dict(size=(224, 224))), 'size must be a whole number'),
    (lambda: DecodeCropResize(dict(size=8, scale=(0.5, 2))), 'scale must be two numbers .* 0 <= a <= b <= 1'),
    (lambda: DecodeCropResize(dict(size=8, ratio=0.5)), 'ratio must be two numbers'),
])
def test_wrong_settings(build, message):
    with pytest.raises(ValueError, match=message):
        build()
