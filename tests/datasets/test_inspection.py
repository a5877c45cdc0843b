import io

import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageOps

from pic_plugin.datasets.inspection import inspect_image
from tests.photos import CUT, EXPECTED, crop, encoded, write_photographs

OF_OTHER_FILES = {'tiny', 'duplicates'}
WHOLE = {name: encoded(crop(1), name) for name in ('JPEG', 'PNG', 'WEBP')} | {
    'progressive': encoded(crop(2), 'JPEG', progressive=True)}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp('photographs'))


@pytest.mark.parametrize('name', EXPECTED)
def test_what_a_file_is(name, folder):
    image_format, height, width, kinds = EXPECTED[name]
    content = (folder / name).read_bytes()
    seen = inspect_image(content)
    assert (seen.format, seen.height, seen.width) == (image_format, height, width)
    assert seen.kinds == kinds - OF_OTHER_FILES
    assert (seen.error is None) == ('unreadable' not in kinds)
    if height:  # Pillow says the same
        with PIL.Image.open(io.BytesIO(content)) as image:
            assert image.format == image_format
            if 'cut-off' not in kinds:
                assert ImageOps.exif_transpose(image).size == (width, height)


@pytest.mark.parametrize('name', CUT)
def test_a_file_without_its_end(name, folder):
    content = (folder / name).read_bytes()
    seen = inspect_image(content)
    assert seen.format == ('PNG' if name.endswith('png') else 'JPEG') and 'cut-off' in seen.kinds
    with PIL.Image.open(io.BytesIO(content)) as image, pytest.raises(OSError, match='truncated'):
        image.load()


@given(st.sampled_from(sorted(WHOLE)), st.floats(0.1, 1))
def test_wherever_a_file_is_cut(name, share):
    content = WHOLE[name]
    cut = content[:int(share * len(content))]
    assert ('cut-off' in inspect_image(cut).kinds) == (len(cut) < len(content))


@given(st.sampled_from(sorted(WHOLE)), st.binary(max_size=50))
def test_what_follows_the_end_plays_no_part(name, more):
    assert not inspect_image(WHOLE[name] + more).kinds


@given(st.one_of(st.binary(max_size=100), st.builds(
    lambda name, at, byte: WHOLE[name][:at] + byte + WHOLE[name][at + 1:],
    st.sampled_from(sorted(WHOLE)), st.integers(0, 1000), st.binary(min_size=1, max_size=1))))
def test_any_content(content):
    seen = inspect_image(content)
    assert (seen.error is None) == (seen.height > 0) == ('unreadable' not in seen.kinds)


def test_errors_have_no_addresses():
    assert inspect_image(b'no picture').error == 'of no known format'
    assert inspect_image(b'').error == 'ValueError: empty'


def test_photographs_with_a_second_picture_are_no_animation():
    file = io.BytesIO()
    crop(1).save(file, 'MPO', save_all=True, append_images=[crop(2)])
    seen = inspect_image(file.getvalue())
    assert (seen.format, seen.kinds) == ('JPEG', frozenset())


def test_huge(monkeypatch):
    small, large, larger = (encoded(crop(1, width, 60), 'JPEG') for width in (60, 96, 192))
    monkeypatch.setattr(PIL.Image, 'MAX_IMAGE_PIXELS', 4000)  # Pillow warns of more, and refuses twice as many
    assert inspect_image(small).kinds == frozenset()
    assert inspect_image(large).kinds == inspect_image(larger).kinds == {'huge'}
