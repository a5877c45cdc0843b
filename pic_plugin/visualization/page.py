"""A page about a training, in one file that needs no network."""
import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import jinja2  # torch requires it
import numpy as np

from pic_plugin.whole_file import whole_file

_TEMPLATE = Path(__file__).with_name('report.html')
_QUALITY = 80  # of the JPEGs


class Picture(NamedTuple):
    """An image on the page."""
    name: str
    jpeg: str  # base64
    mark: str = ''  # 'same' or 'other', of its folder


class Neighbours(NamedTuple):
    """An image, and those that are most like it."""
    query: Picture
    before: list[Picture]
    after: list[Picture]


def picture(name: str, image: np.ndarray, side: int, mark: str = '') -> Picture:
    """A small picture of an image.

    Args:
        name: shown where the mouse is.
        image: ``[H, W, 3]`` or ``[H, W]`` uint8, BGR.
        side: the longer one of the picture, in pixels; a smaller image is enlarged by a whole factor.
        mark: its class on the page.
    """
    scale = side / max(image.shape[:2])
    if scale >= 1:
        image = image.repeat(int(scale), 0).repeat(int(scale), 1)
    else:
        size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    ok, jpeg = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert ok
    return Picture(name.encode('utf-8', 'backslashreplace').decode(), base64.b64encode(jpeg.tobytes()).decode(), mark)


def write_page(path: Path, contents: Mapping[str, Any]) -> None:
    """Write the page, complete or not at all.

    Args:
        path: of the HTML file.
        contents: what ``report.html`` names.

    Raises:
        jinja2.UndefinedError: if it names something else.
    """
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_TEMPLATE.read_text())
    with whole_file(path, replace=True) as partial:
        partial.write_text(template.render(contents))
