"""Reading images of any format and depth."""
import io
from typing import Any, Optional

import cv2
import mmcv
import numpy as np
import PIL.Image
from mmcv.transforms import LoadImageFromFile
from mmengine.fileio import get

_FLAGS = {
    color_type: flag | orientation | cv2.IMREAD_ANYDEPTH
    for name, flag in (('color', cv2.IMREAD_COLOR), ('grayscale', cv2.IMREAD_GRAYSCALE))
    for color_type, orientation in ((name, 0), (f'{name}_ignore_orientation', cv2.IMREAD_IGNORE_ORIENTATION))
}


class LoadImageOfAnyDepth(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``, to the bit where an image has 8 bits per channel, and for others as well.

    mmcv keeps the upper 8 of 16 bits (OpenCV) or the lower ones (Pillow), which makes 12 bits black, or all of them
    white.  Here an image keeps the upper 8 of the bits that its largest value has.  What OpenCV cannot decode, Pillow
    is asked to.

    Args:
        loader: whose settings to take over.

    Raises:
        ValueError: in :meth:`transform`, if the file is empty, or has values that are negative or no integers, for
            which there is no range.
    """

    def __init__(self, loader: LoadImageFromFile) -> None:
        self.__dict__.update(loader.__dict__)

    @staticmethod
    def can_replace(transform: Any) -> bool:
        """Whether it is mmcv's own loader, and gives 8 bits by one of the two decoders."""
        return (type(transform) is LoadImageFromFile and transform.imdecode_backend in ('cv2', 'pillow')
                and transform.color_type in _FLAGS and transform.file_client_args is None)

    def transform(self, results: dict) -> dict:
        """Add ``img``, ``img_shape`` and ``ori_shape``."""
        img = decoded(read(results['img_path'], self.backend_args), self.color_type, self.imdecode_backend)
        if self.to_float32:
            img = img.astype(np.float32)
        return {**results, 'img': img, 'img_shape': img.shape[:2], 'ori_shape': img.shape[:2]}


def read(path: str, backend_args: Optional[dict] = None) -> bytes:
    """Read a file's bytes through mmengine's file backends.

    Raises:
        ValueError: if there are none, or a data base has no such key.
    """
    content = get(path, backend_args=backend_args)
    if not content:
        raise ValueError('empty, or not there')
    return bytes(content)


def decoded(content: bytes, color_type: str = 'color', backend: str = 'cv2') -> np.ndarray:
    """Decode an image to uint8, as :class:`LoadImageOfAnyDepth` does."""
    if backend == 'cv2':
        img = cv2.imdecode(np.frombuffer(content, np.uint8), _FLAGS[color_type])
        if img is not None:
            return _upper_8_bits(img)
    with PIL.Image.open(io.BytesIO(content)) as image:
        if image.mode in ('I', 'F') or image.mode.startswith('I;16'):  # Pillow would clip them to 0..255
            grey = _upper_8_bits(np.array(image))
            return grey if color_type.startswith('grayscale') else np.stack([grey] * 3, axis=-1)
    return mmcv.imfrombytes(content, color_type, backend='pillow')


def _upper_8_bits(img: np.ndarray) -> np.ndarray:
    """uint8, the upper 8 of the bits that the largest value has; fewer bits stay as they are."""
    if img.dtype == np.uint8:
        return img
    if not np.issubdtype(img.dtype, np.integer) or img.min() < 0:
        raise ValueError(f'{img.dtype} from {img.min()} to {img.max()} has no range that is known; load it by a '
                         'transform of your own')
    return (img >> max(0, int(img.max()).bit_length() - 8)).astype(np.uint8)
