"""Inspects the file of an image: its format, its size, what is wrong or unusual."""
import io
import re
from typing import NamedTuple, Optional

import PIL.Image

from .any_depth import decoded
from .image_files import printable

TINY = 32  # pixels of the shorter side
EXTREME = 5  # times as long as wide
# kind -> what it means; the first of which are faults
KINDS = {
    'unreadable': 'cannot be decoded: training leaves them out',
    'cut-off': 'the file ends before the image does',
    'empty': 'files without content',
    'tiny': f'shorter side under {TINY} pixels, and under a quarter of the median',
    'extreme': f'one side is more than {EXTREME} times the other',
    'huge': f'more than {(PIL.Image.MAX_IMAGE_PIXELS or 0) // 10**6} million pixels: slow to decode',
    'animated': 'several frames or pages: the first is used',
    'cmyk': "the colours of a printer, not a screen's",
    '16-bit': 'more than 8 bits per channel: the upper 8 in use are kept',
    'rotated': 'EXIF says how to turn them, and they are turned',
    'duplicates': 'same content as an earlier file',
}
_EXIF_ORIENTATION, _TIFF_BITS = 274, 258
_JPEG_MARKER = re.compile(rb'\xff+([^\x00\xff\xd0-\xd7])')  # no stuffed byte and no restart, as within a scan
_END_OF_IMAGE = 0xD9


class Inspection(NamedTuple):
    """What was found in one file."""
    format: str  # as Pillow calls it
    height: int  # of the decoded image, turned as EXIF says; 0 if it cannot be decoded
    width: int
    kinds: frozenset[str]  # of KINDS, without those that depend on other files: tiny and duplicates
    error: Optional[str]  # of the decoder


def inspect_image(content: bytes) -> Inspection:
    """Decode an image as training does, and say what it is.

    Args:
        content: of the file.
    """
    kinds, image_format = _header(content)
    height = width = 0
    error = None
    try:
        if not content:
            raise ValueError('empty')
        height, width = decoded(content).shape[:2]
    except Exception as failure:  # decoders raise anything
        error = why_unreadable(failure)
        kinds |= {'unreadable'} | ({'empty'} if not content else set())
    if content and (_ends_early(content) or (error and 'truncated' in error.lower())):
        kinds.add('cut-off')
    if max(height, width) > EXTREME * min(height, width):
        kinds.add('extreme')
    if height * width > (PIL.Image.MAX_IMAGE_PIXELS or float('inf')):
        kinds.add('huge')
    return Inspection(image_format, height, width, frozenset(kinds), error)


def why_unreadable(failure: Exception) -> str:
    """What a decoder or transform says, for a list of files."""
    if isinstance(failure, PIL.UnidentifiedImageError):
        return 'of no known format'  # its own words have an address in memory
    return printable(f'{type(failure).__name__}: {failure}')


def _header(content: bytes) -> tuple[set[str], str]:
    """What the header says, and the format."""
    kinds = set()
    try:
        with PIL.Image.open(io.BytesIO(content)) as image:
            image_format = image.format or 'unknown'
            # a photograph with a preview in the same file is no animation
            if image_format != 'MPO' and getattr(image, 'is_animated', False):
                kinds.add('animated')
            if image.mode == 'CMYK':
                kinds.add('cmyk')
            bits = getattr(image, 'tag_v2', {}).get(_TIFF_BITS, 8) if image_format == 'TIFF' else 8
            png_bits = content[24] if image_format == 'PNG' else 8
            if image.mode.startswith('I') or image.mode == 'F' or max(png_bits, *_listed(bits)) > 8:
                kinds.add('16-bit')
            # Pillow would decode a whole PNG in search of it
            has_exif = image_format != 'PNG' or b'eXIf' in content
            if has_exif and image.getexif().get(_EXIF_ORIENTATION, 1) not in (0, 1):
                kinds.add('rotated')
            return kinds, 'JPEG' if image_format == 'MPO' else image_format
    except Exception:  # it may be a format of OpenCV's alone, and Pillow's readers raise anything
        return kinds, 'unknown'


def _listed(value: object) -> list[int]:
    return [int(part) for part in value] if isinstance(value, (list, tuple)) else [int(value)]  # type: ignore[call-overload]


def _ends_early(content: bytes) -> bool:
    """Whether a JPEG, PNG or WebP file ends before its own structure does; some decoders fill in grey."""
    if content.startswith(b'\xff\xd8\xff'):
        return not _jpeg_ends(content)
    if content.startswith(b'\x89PNG'):
        at = 8
        while at + 12 <= len(content):
            length = int.from_bytes(content[at:at + 4], 'big')
            if content[at + 4:at + 8] == b'IEND':
                return False
            at += 12 + length
        return True
    if content.startswith(b'RIFF') and content[8:12] == b'WEBP':
        return len(content) < 8 + int.from_bytes(content[4:8], 'little')
    return False


def _jpeg_ends(content: bytes) -> bool:
    """Whether the marker of the end comes after the segments and the data of their scans.

    Previews within a segment have such a marker, too: segments are passed over by their lengths.
    """
    at = 2
    while marker := _JPEG_MARKER.search(content, at):
        kind = marker[1][0]
        if kind == _END_OF_IMAGE:
            return True
        length = int.from_bytes(content[marker.end():marker.end() + 2], 'big')
        if kind == 0x01 or length < 2:  # a marker without a segment, or no segment: go on behind it
            length = 0
        at = marker.end() + length
    return False
