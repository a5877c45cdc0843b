"""A trained backbone, ready to be used: from a run, a released file, or weights of an architecture that is known."""
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple, Optional

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import set_random_seed
from mmpretrain.apis.model import ModelHub
from mmpretrain.models import ImageClassifier

from pic_plugin.checkpoints.read import load_tensors_only, network_tensors
from pic_plugin.checkpoints.resnet_names import backbone_names
from pic_plugin.registry import MODELS

from .architecture import check_fits
from .training import find_checkpoint, find_config

_SCOPE = 'mmpretrain'
_RESIZED = 8 / 7  # of an image's shorter side to the side of the crop in the middle: 256 to 224, as usual on ImageNet
_LOAD, _PACK = dict(type='LoadImageFromFile'), dict(type='PackInputs')


class Network(NamedTuple):
    """A backbone with all that belongs to it."""
    model: ImageClassifier  # the backbone and its data_preprocessor, on the CPU; ``mode='tensor'``: the stages' maps
    pipeline: list[dict]  # transforms, from ``img_path`` to ``inputs``, of one size
    weights: Path
    config: Config


def load_network(source: Path, config: Optional[str] = None) -> Network:
    """A backbone, its preprocessing, and how images are prepared for its evaluation.

    No code is run from its weights.  A config is a program, as everywhere in OpenMMLab's packages.

    Args:
        source: a work directory, the folder of a release, or a checkpoint, ``.pth`` or ``.safetensors``.
        config: of the network: a file, or the name of one of mmpretrain's models; the one beside the checkpoint if
            None.

    Raises:
        ValueError: if something is not there, damaged, or of another kind of network than the config describes.
    """
    weights, cfg = _find(Path(source), config)
    if cfg.get('default_scope', _SCOPE) != _SCOPE or 'backbone' not in cfg.get('model', {}):
        raise ValueError(f"a network of mmpretrain with a model.backbone was expected, got a config of "
                         f"{cfg.get('default_scope', _SCOPE)} with model.type={cfg.get('model', {}).get('type')!r}; "
                         'give a run of this plugin, or the config of an image classifier')
    pipeline = evaluation_pipeline(cfg)
    state = backbone_names(network_tensors(load_tensors_only(weights), weights))
    check_fits(state, cfg)
    backbone = {key: value for key, value in cfg.model.backbone.items() if key != 'init_cfg'}
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    with DefaultScope.overwrite_default_scope(_SCOPE):
        # built here, since a classifier gives to a config what only its own preprocessor knows
        prepared = MODELS.build({'type': 'ClsDataPreprocessor', **preprocessor})
        model = MODELS.build(dict(type='ImageClassifier', backbone=backbone, data_preprocessor=prepared))
    model.backbone.load_state_dict(state, strict=False)  # all but num_batches_tracked was compared
    model.eval()
    return Network(model, pipeline, weights, cfg)


def untrained(network: Network) -> ImageClassifier:
    """The network as its training started, or one like it: with random weights, by the training's seed."""
    set_random_seed(network.config.get('randomness', {}).get('seed') or 0)
    model = deepcopy(network.model)
    with DefaultScope.overwrite_default_scope(_SCOPE):
        model.backbone = MODELS.build(network.config.model.backbone)
    model.backbone.init_weights()
    return model.eval()


def _find(source: Path, config: Optional[str]) -> tuple[Path, Config]:
    """The checkpoint, and the config."""
    if not source.exists() and (found := mmpretrain_model(str(source))) is not None:
        raise ValueError(f'{source} is a network of mmpretrain, whose weights are to be given, and it as --config; '
                         f'mmpretrain has them at {found.weights or "no address"}')
    weights = find_checkpoint(source, with_neck=False)
    if config is not None and not Path(config).exists():
        if (found := mmpretrain_model(config)) is None:
            raise ValueError(f'--config {config} is neither a file nor the name of a network of mmpretrain; '
                             "mmpretrain.list_models('*resnet*') lists them")
        return weights, found.config
    return weights, Config.fromfile(find_config(weights.parent, None if config is None else Path(config)))


def mmpretrain_model(name: str) -> Any:
    """What mmpretrain lists under a name, with ``config`` and ``weights`` (an address, or None); None if nothing."""
    try:
        return ModelHub.get(name)
    except ValueError:
        return None


def evaluation_pipeline(cfg: Config) -> list[dict]:
    """How images are prepared for evaluation: as the config says, or else as suits the views that it trains on.

    The config's own is that of its test, validation or kNN data, or ``test_pipeline``.  Where there is none, the
    shorter side is resized, and the middle cropped out, in the size of the training's (first) crop; a training that
    does not crop says itself how it resizes.

    Raises:
        ValueError: if none of these is there.
    """
    loaders = [cfg.get('test_dataloader'), cfg.get('val_dataloader'), cfg.get('query_dataloader'),
               *(hook.get('query_dataloader') for hook in cfg.get('custom_hooks', []))]
    for pipeline in (*(loader.dataset.get('pipeline') for loader in loaders if loader), cfg.get('test_pipeline')):
        if pipeline:
            return [*([] if _is_a(pipeline[0], 'Load') else [_LOAD]), *pipeline]
    training = (cfg.get('train_dataloader') or {}).get('dataset', {}).get('pipeline', [])
    load = next((transform for transform in training if _is_a(transform, 'Load')), _LOAD)
    if (size := _size_of_crop(training)) is not None:
        resize = dict(type='ResizeEdge', scale=round(_RESIZED * size), edge='short', backend='pillow')
        return [load, resize, dict(type='CenterCrop', crop_size=size), _PACK]
    if resized := [transform for transform in training if transform['type'] in ('Resize', 'ResizeEdge', 'CenterCrop')]:
        return [load, *resized, _PACK]
    raise ValueError('the config has no pipeline for evaluation, and none of training with a RandomResizedCrop or a '
                     'Resize that would tell the size of images; add test_pipeline=[...] to it, from '
                     'LoadImageFromFile to PackInputs')


def _size_of_crop(training: list[dict]) -> Optional[int]:
    """Of the first one that is drawn, None if there is none."""
    for transform in _transforms(training):
        if _is_a(transform, 'DecodeCropResize'):
            crops = transform['crops']
            return (crops if isinstance(crops, dict) else crops[0])['size']
        if _is_a(transform, 'RandomResizedCrop'):
            return transform['scale'] if isinstance(transform['scale'], int) else max(transform['scale'])
    return None


def _is_a(transform: dict, kind: str) -> bool:
    return kind in str(transform.get('type'))


def _transforms(node: Any) -> Iterator[dict]:
    """All dicts with a type, however deep, in their order."""
    if isinstance(node, dict):
        if 'type' in node:
            yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from _transforms(child)
