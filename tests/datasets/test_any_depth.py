import io

import cv2
import numpy as np
import PIL.Image
import pytest
from mmcv.transforms import LoadImageFromFile

from pic_plugin.datasets.any_depth import LoadImageOfAnyDepth
from pic_plugin.datasets.image_files import IMAGE_EXTENSIONS

GENERATOR = np.random.default_rng(0)
RGB = GENERATOR.integers(0, 256, (24, 20, 3), np.uint8)
PILLOW_FORMATS = {'.jpg': 'JPEG', '.jpeg': 'JPEG', '.jpe': 'JPEG', '.jfif': 'JPEG', '.png': 'PNG', '.apng': 'PNG',
                  '.webp': 'WEBP', '.avif': 'AVIF', '.gif': 'GIF', '.bmp': 'BMP', '.tif': 'TIFF', '.tiff': 'TIFF',
                  '.jp2': 'JPEG2000', '.ppm': 'PPM', '.pgm': 'PPM', '.pbm': 'PPM', '.pnm': 'PPM'}
MODES = {'.pgm': 'L', '.pbm': '1'}


def load(path, **settings):
    loader = LoadImageFromFile(**settings)
    assert LoadImageOfAnyDepth.can_replace(loader)
    return LoadImageOfAnyDepth(loader)({'img_path': str(path)})


@pytest.mark.parametrize('extension', IMAGE_EXTENSIONS)
@pytest.mark.parametrize('color_type', ['color', 'grayscale'])
@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
def test_what_has_8_bits_is_as_mmcv_loads_it(tmp_path, extension, color_type, backend):
    path = tmp_path / f'a{extension}'
    PIL.Image.fromarray(RGB).convert(MODES.get(extension, 'RGB')).save(path, PILLOW_FORMATS[extension])
    settings = dict(color_type=color_type, imdecode_backend=backend)
    given, expected = load(path, **settings), LoadImageFromFile(**settings)({'img_path': str(path)})
    assert given['img'].dtype == np.uint8
    np.testing.assert_array_equal(given.pop('img'), expected.pop('img'))
    assert given == expected


def test_the_first_frame_of_a_film(tmp_path):
    frames = [PIL.Image.fromarray(np.full((8, 8, 3), grey, np.uint8)) for grey in (10, 200)]
    frames[0].save(tmp_path / 'a.gif', save_all=True, append_images=frames[1:])
    assert (load(tmp_path / 'a.gif')['img'] == 10).all()


@pytest.mark.parametrize('bits', [9, 12, 16])
@pytest.mark.parametrize('suffix', ['.png', '.tif', '.pgm'])
@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
def test_more_bits_are_taken_to_8(tmp_path, bits, suffix, backend):
    values = GENERATOR.integers(0, 1 << bits, (24, 20), np.uint16)
    values[0, 0] = (1 << bits) - 1
    path = str(tmp_path / f'a{suffix}')
    cv2.imwrite(path, values)
    expected = (values // 2**(bits - 8)).astype(np.uint8)
    settings = dict(imdecode_backend=backend)
    np.testing.assert_array_equal(load(path, color_type='grayscale', **settings)['img'], expected)
    np.testing.assert_array_equal(load(path, **settings)['img'], np.stack([expected] * 3, axis=-1))
    assert load(path, to_float32=True, **settings)['img'].dtype == np.float32


def test_colours_of_more_bits(tmp_path):
    values = GENERATOR.integers(0, 4096, (24, 20, 3), np.uint16)
    cv2.imwrite(str(tmp_path / 'a.png'), values)
    np.testing.assert_array_equal(load(tmp_path / 'a.png')['img'], (values // 16).astype(np.uint8))


def test_few_values_of_16_bits_stay(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((8, 8), 3, np.uint16))
    assert (load(tmp_path / 'a.png')['img'] == 3).all()


@pytest.mark.parametrize('values', [np.linspace(0, 1, 64), np.linspace(-1000, 3000, 64)])
def test_values_without_a_range(tmp_path, values):
    PIL.Image.fromarray(values.astype(np.float32).reshape(8, 8)).save(tmp_path / 'a.tif')
    with pytest.raises(ValueError, match='float32 from .* to .* has no range that is known; load it by a transform'):
        load(tmp_path / 'a.tif')


def test_an_empty_file(tmp_path):
    (tmp_path / 'a.png').touch()
    with pytest.raises(ValueError, match='empty, or not there'):
        load(tmp_path / 'a.png')


def test_what_opencv_cannot_decode(tmp_path):
    buffer = io.BytesIO()
    PIL.Image.fromarray(RGB).save(buffer, 'TGA')
    assert cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_COLOR) is None
    (tmp_path / 'a.tga').write_bytes(buffer.getvalue())
    np.testing.assert_array_equal(load(tmp_path / 'a.tga')['img'], RGB[..., ::-1])


class Own(LoadImageFromFile):
    pass


@pytest.mark.parametrize('loader', [Own(), LoadImageFromFile(color_type='unchanged'), lambda results: results])
def test_other_loaders_stay(loader):
    assert not LoadImageOfAnyDepth.can_replace(loader)
