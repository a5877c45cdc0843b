"""Backbones that training goes on from: a run, a release, a file of weights, or a name that has weights."""
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Optional

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor

from pic_plugin.checkpoints.read import load_network
from pic_plugin.checkpoints.resnet_names import backbone_names, torchvision_architecture
from pic_plugin.checkpoints.vit_names import is_vit, mmpretrain_vit_names, vit_config
from pic_plugin.registry import MODELS

from .architecture import check_fits
from .network import mmpretrain_model
from .training import find_checkpoint

_SCOPE = 'mmpretrain'
_WRAPPED = re.compile(r'^timm_model\.(model\.)?')  # put before timm's names
# torchvision's architecture -> mmpretrain's backbone
_RESNETS: dict[str, dict[str, Any]] = {
    **{f'resnet{depth}': dict(type='ResNet', depth=depth) for depth in (18, 34, 50, 101, 152)},
    **{f'resnext{depth}_{groups}x{width}d': dict(type='ResNeXt', depth=depth, groups=groups, width_per_group=width)
       for depth, groups, width in ((50, 32, 4), (101, 32, 8), (101, 64, 4))},
    **{f'wide_resnet{depth}_2': dict(type='ResNet', depth=depth, stem_channels=64, base_channels=128, expansion=2)
       for depth in (50, 101)},
}


class Start(NamedTuple):
    """A backbone with its weights."""
    backbone: dict[str, Any]  # the config of one of mmpretrain's
    state: dict[str, Tensor]  # its tensors, in the names that it has for them
    architecture: str  # in a word
    source: str  # where it is from, for messages

    @property
    def in_channels(self) -> int:
        """Of its images."""
        return self.backbone.get('in_channels', 3)

    def features(self, size: int) -> tuple[int, bool]:
        """How many channels its features have, and whether they are a map.

        Args:
            size: of the images, in pixels.

        Raises:
            ValueError: if it gives neither a map nor a vector, or does not take images of that size.
        """
        with DefaultScope.overwrite_default_scope(_SCOPE):
            network = MODELS.build(self.backbone)
        network.eval()  # mmpretrain's gives nothing back
        try:
            with torch.no_grad():
                out = network(torch.zeros(2, self.in_channels, size, size))
        except Exception as error:  # what a network of any library raises
            raise ValueError(f'{self.source} does not take images of {size} pixels: {error}') from error
        last = out[-1] if isinstance(out, (list, tuple)) else out
        # some give maps with the channels behind
        if last.ndim == 2 or (last.ndim == 4 and last.shape[2] == last.shape[3]):
            return last.shape[1], last.ndim == 4
        raise ValueError(f'{self.source} must give a map [B, C, H, W] or a vector [B, C] of each image, got '
                         f'{list(last.shape)}')


def find_start(source: str) -> Start:
    """The backbone that ``source`` names.

    No code is run from weights.  The config of a run or a release is a program, as everywhere in OpenMMLab's packages;
    one that lies beside a file is read only where the file by itself does not tell which network it is.

    Args:
        source: a run's folder, the folder of a release, or a file of either; weights of a ResNet or a vision
            transformer in the names of mmpretrain, torchvision, timm or DINOv2, ``.pth`` or ``.safetensors``; the name
            of a network of mmpretrain or timm, whose weights are then downloaded; or ``NAME=FILE``, weights of such a
            network.

    Raises:
        ValueError: if there is no such file or name, or the weights are not those of a whole backbone.
    """
    if os.path.exists(source):
        return _of_file(find_checkpoint(Path(source), with_neck=False))
    name, _, file = source.partition('=')
    if file and not os.path.isfile(file):
        raise ValueError(f'--from {source} must be NAME=FILE, and there is no file {file}')
    if (listed := mmpretrain_model(name)) is not None:
        if not (file or listed.weights):
            raise ValueError(f'--from {source}: mmpretrain has no weights of this network; give NAME=FILE')
        weights = Path(file) if file else _downloaded(listed.weights)
        return _of_config(backbone_names(_tensors_in(weights)), listed.config, str(weights))
    if (found := _of_timm(name, file)) is not None:
        return found
    raise ValueError(f'--from {source}: there is no such file or folder, and neither mmpretrain nor timm has a network '
                     f"of that name; mmpretrain.list_models('*resnet*') and timm.list_models('*resnet*') list them")


def _of_file(path: Path) -> Start:
    state = backbone_names(_tensors_in(path))
    try:
        return _recognised(state, str(path))
    except ValueError as error:
        fault = error
    if len(configs := list(path.parent.glob('*.py'))) == 1:
        return _of_config(state, Config.fromfile(configs[0]), str(path))
    raise ValueError(f'{fault}; if it is of another network, say of which: --from NAME={path}, with the name that '
                     'mmpretrain or timm has for it')


def _of_config(state: dict[str, Tensor], config: Config, source: str) -> Start:
    if 'backbone' not in config.get('model', {}):
        raise ValueError(f'a config with model.backbone was expected beside {source}, got {config.filename}')
    backbone = {key: value for key, value in config.model.backbone.to_dict().items() if key != 'init_cfg'}
    return _checked(backbone, _mmpretrain_names(state), source)


def _of_timm(name: str, file: str) -> Optional[Start]:
    """None if timm has no such network."""
    try:
        import timm  # an extra
    except ImportError as error:
        raise ValueError(f'--from {name}: there is no such file or folder, mmpretrain has no network of that name, and '
                         'timm, which may have one, is not installed: pip install timm') from error
    if not timm.is_model(architecture := name.split('.')[0]):
        return None
    try:
        network: Any = timm.create_model(name, pretrained=not file, num_classes=0)
    except Exception as error:  # it has no weights, or they cannot be downloaded
        raise ValueError(f'--from {name}: timm gives no weights of this network: {error}') from error
    state = _tensors_in(Path(file)) if file else network.state_dict()
    try:
        like = _recognised(backbone_names(network.state_dict()), name)
    except ValueError:  # as most are
        plain = _wrapped(state, name, type='TIMMBackbone', model_name=architecture)
        try:
            plain.features(network.pretrained_cfg['input_size'][-1])
        except ValueError:  # a transformer, of which timm may make a map if it is asked
            with suppress(ValueError):
                return _wrapped(state, name, type='TIMMBackbone', model_name=architecture, features_only=True,
                                out_indices=(-1, ))
        return plain
    return _checked(like.backbone, _mmpretrain_names(backbone_names(state)), name, like.architecture)


def _wrapped(state: dict[str, Tensor], source: str, **backbone: Any) -> Start:
    """With timm's tensors in the names of mmpretrain's wrapper."""
    with DefaultScope.overwrite_default_scope(_SCOPE):
        names = {key: _WRAPPED.sub('', key) for key in MODELS.build(backbone).state_dict()}
    return _checked(backbone, {key: state[name] for key, name in names.items() if name in state}, source,
                    backbone['model_name'])


def _downloaded(url: str) -> Path:
    """Where torch keeps what was downloaded."""
    path = Path(torch.hub.get_dir(), 'checkpoints', url.rsplit('/', 1)[1])
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path))
    return path


def _tensors_in(path: Path) -> dict[str, Tensor]:
    return {name.removeprefix('module.'): tensor for name, tensor in load_network(path).items()}


def _mmpretrain_names(backbone: dict[str, Tensor]) -> dict[str, Tensor]:
    return mmpretrain_vit_names(backbone) if is_vit(backbone) else backbone


def _recognised(state: dict[str, Tensor], source: str) -> Start:
    """By names and shapes alone."""
    state = _mmpretrain_names(state)
    try:
        if is_vit(state):
            return _checked(vit_config(state), state, source)
        architecture = torchvision_architecture(state)
    except ValueError as error:
        raise ValueError(f'{source} does not say by itself which network it is of: {error}') from error
    return _checked(_RESNETS[architecture], state, source, architecture)


def _checked(backbone: dict[str, Any], state: dict[str, Tensor], source: str, architecture: str = '') -> Start:
    """Whether the tensors are those of the whole network, and of no other."""
    try:
        check_fits(state, Config(dict(model=dict(backbone=backbone))))
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from error
    return Start(backbone, state, architecture or backbone['type'], source)
