"""JPEG files by simplejpeg: their size before they are decoded, and decoding at a half, a quarter or an eighth."""
import io
import logging
from functools import lru_cache
from typing import Any, Optional

import numpy as np
import PIL.Image
from mmengine.dist import is_main_process
from mmengine.logging import print_log

FACTORS = (8, 4, 2)  # by which a decoder can shrink an image for less work than decoding all of it, largest first
_ORIENTATION = 0x0112  # Exif's tag
_APP1, _START_OF_SCAN, _END = 0xE1, 0xDA, 0xD9  # markers


@lru_cache(None)
def simplejpeg() -> Any:
    """The package, None if it is not installed; the log says once that it is not."""
    try:
        import simplejpeg
    except ImportError as error:
        if is_main_process():
            print_log('JPEG files are decoded by OpenCV: simplejpeg, which is faster with large ones, cannot be '
                      f'imported ({error}); pip install simplejpeg', 'current', logging.WARNING)
        return None
    return simplejpeg


def jpeg_size(content: bytes) -> Optional[tuple[int, int]]:
    """Height and width of what :func:`decode_jpeg` can decode.

    None if it is no JPEG file, has four channels or is to be turned, as Exif says; or if simplejpeg is not installed.
    """
    decoder = simplejpeg()
    if decoder is None or not content.startswith(b'\xff\xd8'):
        return None
    try:
        height, width, colors, _ = decoder.decode_jpeg_header(content)
        if colors in ('CMYK', 'YCCK'):
            return None
        if _has_exif(content):
            with PIL.Image.open(io.BytesIO(content)) as image:
                if image.getexif().get(_ORIENTATION, 1) != 1:
                    return None
    except Exception:  # of a broken file either may raise anything: others say what is wrong with it
        return None
    return height, width


def decode_jpeg(content: bytes, size: tuple[int, int], factor: int) -> np.ndarray:
    """``[ceil(height / factor), ceil(width / factor), 3]`` uint8, blue first.

    Args:
        content: of the file.
        size: its :func:`jpeg_size`.
        factor: 1, or one of ``FACTORS``.

    Raises:
        ValueError: if it is damaged.
    """
    height, width = (-(-side // factor) for side in size)
    return simplejpeg().decode_jpeg(content, 'BGR', min_height=height, min_width=width, min_factor=factor)


def _has_exif(content: bytes) -> bool:
    """Whether one of the segments before the image's data is Exif's; a walk, as a search would go through megabytes."""
    position = 2
    while content[position] == 0xFF and content[position + 1] not in (_START_OF_SCAN, _END):
        if content[position + 1] == 0xFF:  # a byte that fills up
            position += 1
            continue
        if content[position + 1] == _APP1 and content[position + 4:position + 8] == b'Exif':
            return True
        position += 2 + int.from_bytes(content[position + 2:position + 4], 'big')
    return False
