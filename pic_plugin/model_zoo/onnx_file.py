"""A network as a file of ONNX: from pixels to the features that :mod:`pic_plugin.embedding` writes."""
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch
from mmpretrain.datasets import CustomDataset
from mmpretrain.models.utils import ShiftWindowMSA
from packaging.version import Version
from torch import Tensor, nn

from pic_plugin.evaluation.features import pooled_features
from pic_plugin.whole_file import whole_file

from .network import Network

USE = "onnxruntime.InferenceSession('{file}').run(['embedding'], {{'images': pixels}})  # float32, 0 to 255"
_TOLERANCE = 1e-4  # between torch and onnxruntime, of the largest feature
_NEEDED = ('onnx', 'onnxscript', 'onnxruntime')
_DYNAMO_SINCE = Version('2.6')


class _PixelsToFeatures(nn.Module):
    """Normalisation, backbone, and the average over the places."""
    mean: Tensor
    std: Tensor

    def __init__(self, network: Network) -> None:
        super().__init__()
        preprocessor = network.model.data_preprocessor
        normalises = getattr(preprocessor, 'mean', None) is not None
        self.register_buffer('mean', preprocessor.mean.float() if normalises else torch.zeros(1, 1, 1))
        self.register_buffer('std', preprocessor.std.float() if normalises else torch.ones(1, 1, 1))
        self.backbone = network.model.backbone

    def forward(self, images: Tensor) -> Tensor:
        return pooled_features(self.backbone((images - self.mean) / self.std))


def save_onnx(network: Network, out: Path) -> None:
    """Write a network, and compare what onnxruntime makes of random images with what torch does.

    The input ``images`` is ``[B, C, H, W]`` float32, pixels from 0 to 255 of any number of images in the size of the
    network's evaluation; the output ``embedding`` ``[B, D]`` float32.  The file says in which order the channels are.

    Args:
        network: it.
        out: the file, which must not exist.

    Raises:
        ValueError: if a package is missing, the file cannot be written, or the network cannot be expressed in ONNX.
    """
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise ValueError(f"to write ONNX the packages {', '.join(missing)} are needed: pip install 'pic_plugin[onnx]' "
                         f'or pip install {" ".join(missing)}')
    import onnx
    module = _PixelsToFeatures(network).eval()
    shape = _input_shape(network)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (5, *shape), generator=generator).float()
    with whole_file(out) as path:
        try:
            with torch.no_grad(), patch.object(ShiftWindowMSA, 'window_reverse', staticmethod(_window_reverse)):
                _export(module, images[:2], path)
        except Exception as error:  # there is no end to what an exporter cannot do
            raise ValueError(f'torch cannot express this network in ONNX ({type(error).__name__}: '
                             f'{str(error).strip().splitlines()[0] if str(error) else ""}); '
                             '--to safetensors takes any') from error
        model = onnx.load(path)
        onnx.helper.set_model_props(model, {'channels': _channels(network), 'weights': network.weights.name})
        onnx.save(model, path)
        onnx.checker.check_model(path)
        _compare(module, path, images)


def _export(module: nn.Module, images: Tensor, path: Path) -> None:
    names: dict[str, Any] = dict(input_names=['images'], output_names=['embedding'])
    if Version(torch.__version__) >= _DYNAMO_SINCE:
        torch.onnx.export(module, (images, ), str(path), dynamo=True, external_data=False, verbose=False,
                          dynamic_shapes=({0: torch.export.Dim('batch')}, ), **names)
    else:
        torch.onnx.export(module, (images, ), str(path), dynamic_axes={name: {0: 'batch'} for name in
                                                                       ('images', 'embedding')}, **names)


def _window_reverse(windows: Tensor, H: int, W: int, window_size: int) -> Tensor:  # noqa: N803  (mmpretrain's names)
    """mmpretrain's, which works out the number of images as Python's: the file would take as many and no others."""
    channels = windows.shape[-1]
    x = windows.view(-1, H // window_size, W // window_size, window_size, window_size, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, H, W, channels)


def _compare(module: nn.Module, path: Path, images: Tensor) -> None:
    """Batches of one and of several images."""
    import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    for batch in (images[:1], images):
        found, = session.run(['embedding'], {'images': batch.numpy()})
        with torch.no_grad():
            expected = module(batch).numpy()
        allowed = _TOLERANCE * max(1, np.abs(expected).max())
        if found.shape != expected.shape or not np.abs(found - expected).max() <= allowed:  # NaN is no agreement
            raise ValueError(f'onnxruntime gives other features than torch, {found.shape} and {expected.shape}, for '
                             f'{len(batch)} images; nothing is written.  The code of the network may depend on their '
                             'number, or torch or onnxruntime be at fault: try other versions, or --to safetensors')


def _input_shape(network: Network) -> tuple[int, ...]:
    """``(C, H, W)`` of what the pipeline gives."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, 'image.png'))
        cv2.imwrite(path, np.zeros((480, 640, 3), np.uint8))
        dataset = CustomDataset(data_root=folder, pipeline=network.pipeline, with_label=False)
        return tuple(dataset[0]['inputs'].shape)


def _channels(network: Network) -> str:
    if network.pipeline[0].get('color_type', 'color').startswith('gray'):
        return 'grey'
    preprocessor = network.config.model.get('data_preprocessor') or network.config.get('data_preprocessor') or {}
    return 'RGB' if preprocessor.get('to_rgb') or preprocessor.get('bgr_to_rgb') else 'BGR'
