"""Photographs of mixed formats and faults, from the two that scikit-learn carries."""
import io
import os
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images


@cache
def photographs() -> list[Image.Image]:
    return [Image.fromarray(image) for image in load_sample_images().images]


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def crop(i: int, width: int = 96, height: int = 64) -> Image.Image:
    """The i-th of many different pieces of the photographs."""
    image = photographs()[i % 2]
    left, top = (200 + 37 * i) % (image.width - width), (150 + 53 * i) % (image.height - height)
    return image.crop((left, top, left + width, top + height))


# name -> (Pillow's format, height, width, kinds); what each file is, known from how it is made
EXPECTED = {
    'a/plain.JPG': ('JPEG', 64, 96, set()),
    'a/plain.png': ('PNG', 64, 96, set()),
    'a/plain.webp': ('WEBP', 64, 96, set()),
    'a/plain.TIF': ('TIFF', 64, 96, set()),
    'a/plain.bmp': ('BMP', 64, 96, set()),
    'b/progressive.jpeg': ('JPEG', 64, 96, set()),
    'b/preview in exif.jpg': ('JPEG', 64, 96, set()),
    'b/rotated.jpg': ('JPEG', 96, 64, {'rotated'}),
    'b/cmyk.jpg': ('JPEG', 64, 96, {'cmyk'}),
    'b/16 bit.png': ('PNG', 64, 96, {'16-bit'}),
    'b/16 bit colour.png': ('PNG', 64, 96, {'16-bit'}),
    'b/16 bit.tiff': ('TIFF', 64, 96, {'16-bit'}),
    'b/animated.gif': ('GIF', 64, 96, {'animated'}),
    'b/pages.tiff': ('TIFF', 64, 96, {'animated'}),
    'b/tiny.png': ('PNG', 5, 7, {'tiny'}),
    'b/panorama.jpg': ('JPEG', 40, 600, {'extreme'}),
    'c/名前 é.jpg': ('JPEG', 64, 96, set()),
    'c/empty.jpg': ('unknown', 0, 0, {'empty', 'unreadable'}),
    'c/empty too.png': ('unknown', 0, 0, {'empty', 'unreadable'}),
    'c/text.png': ('unknown', 0, 0, {'unreadable'}),
    'c/no end.png': ('PNG', 64, 96, {'cut-off'}),
    'c/cut.webp': ('unknown', 0, 0, {'unreadable', 'cut-off'}),
    'd/copy.jpg': ('JPEG', 64, 96, {'duplicates'}),
    'd/link.jpg': ('JPEG', 64, 96, {'duplicates'}),
}
# decoders differ in what they make of these: some fill in grey
CUT = ['c/cut.jpg', 'c/cut with preview.jpg', 'c/no end.jpg', 'c/cut.png']


def write_photographs(folder: Path) -> Path:
    """The files of :data:`EXPECTED` and :data:`CUT`, one whose name is not UTF-8, and a note."""
    jpeg, png, webp = encoded(crop(1), 'JPEG', quality=95), encoded(crop(2), 'PNG'), encoded(crop(3), 'WEBP')
    exif = Image.Exif()
    exif[274] = 6
    deep = np.asarray(crop(9)).astype(np.uint16) * 257
    # a preview within a segment has an end of its own
    preview = encoded(crop(7, 32, 32), 'JPEG')
    with_preview = encoded(crop(4), 'JPEG', quality=95)
    segment = b'\xff\xed' + (len(preview) + 2).to_bytes(2, 'big') + preview
    with_preview = with_preview[:2] + segment + with_preview[2:]
    files = {
        'a/plain.JPG': jpeg, 'a/plain.png': png, 'a/plain.webp': webp,
        'a/plain.TIF': encoded(crop(4), 'TIFF'), 'a/plain.bmp': encoded(crop(5), 'BMP'),
        'b/progressive.jpeg': encoded(crop(6), 'JPEG', progressive=True), 'b/preview in exif.jpg': with_preview,
        'b/rotated.jpg': encoded(crop(8), 'JPEG', exif=exif), 'b/cmyk.jpg': encoded(crop(10).convert('CMYK'), 'JPEG'),
        'b/16 bit.png': cv2.imencode('.png', deep[..., 0])[1].tobytes(),
        'b/16 bit colour.png': cv2.imencode('.png', deep)[1].tobytes(),
        'b/16 bit.tiff': cv2.imencode('.tiff', deep)[1].tobytes(),
        'b/animated.gif': encoded(crop(11), 'GIF', save_all=True, append_images=[crop(12)]),
        'b/pages.tiff': encoded(crop(13), 'TIFF', save_all=True, append_images=[crop(14)]),
        'b/tiny.png': encoded(crop(15, 7, 5), 'PNG'), 'b/panorama.jpg': encoded(crop(16, 600, 40), 'JPEG'),
        'c/名前 é.jpg': encoded(crop(17), 'JPEG'), 'c/empty.jpg': b'', 'c/empty too.png': b'',
        'c/text.png': b'this is no picture', 'c/cut.png': png[:len(png) // 2],
        'c/no end.png': encoded(crop(18), 'PNG')[:-12], 'c/cut.webp': webp[:len(webp) // 2],
        'c/cut.jpg': jpeg[:-100], 'c/cut with preview.jpg': with_preview[:-200], 'c/no end.jpg': jpeg[:-2],
        'd/copy.jpg': jpeg, 'notes.txt': b'not an image',
    }
    for name, content in files.items():
        write(folder / name, content)
    (folder / 'd/link.jpg').symlink_to(folder / 'a/plain.JPG')
    with open(os.fsencode(folder) + b'/d/caf\xe9.jpg', 'wb') as file:
        file.write(encoded(crop(19), 'JPEG'))
    return folder
