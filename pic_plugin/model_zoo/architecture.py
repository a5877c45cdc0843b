"""The parts of a network that are released, and whether they are what a config describes."""
from collections.abc import Mapping

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from pic_plugin.checkpoints.resnet_names import backbone_names
from pic_plugin.checkpoints.shapes import differences, shapes_of
from pic_plugin.registry import MODELS


def released_part(state: Mapping[str, Tensor], with_neck: bool) -> dict[str, Tensor]:
    """What is released of a network.

    Args:
        state: a backbone by itself, or a network in mmpretrain's names.
        with_neck: whether the neck is to be in it.

    Returns:
        dict: the backbone's tensors in its own names, or, with the neck, ``backbone.…`` and ``neck.…``.

    Raises:
        ValueError: if there is no neck and there should be.
    """
    if not with_neck:
        return backbone_names(state)
    part = {name: tensor for name, tensor in state.items() if name.startswith(('backbone.', 'neck.'))}
    if {name.partition('.')[0] for name in part} != {'backbone', 'neck'}:
        raise ValueError('a checkpoint with backbone.… and neck.… is needed to release the neck, such as epoch_N.pth, '
                         f'got one with {", ".join(list(state)[:4])}, …')
    return part


def check_fits(state: Mapping[str, Tensor], cfg: Config) -> None:
    """Check that released tensors are those of a config's backbone (and neck), by all names and shapes.

    Args:
        state: as :func:`released_part` gives it.
        cfg: with ``model.backbone``, and ``model.neck`` where there is one.

    Raises:
        ValueError: if they are of another network, or not finite.
    """
    parts = ['backbone', 'neck'] if any(name.startswith('neck.') for name in state) else ['backbone']
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        network = nn.ModuleDict({part: MODELS.build(cfg.model[part]) for part in parts})
    given = shapes_of(state)
    expected = shapes_of(network.state_dict() if len(parts) > 1 else network['backbone'].state_dict())
    if differing := differences(given, expected):
        raise ValueError(
            f"the checkpoint's {' and '.join(parts)} is not what the config describes, "
            f'{_describe(cfg.model.backbone)}: {len(given)} tensors were given, {len(expected)} expected, '
            f'and {len(differing)} differ: {"; ".join(differing[:4])}. Give the config that it was trained with')
    if bad := [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]:
        raise ValueError(f'{len(bad)} tensors have values that are not finite: {", ".join(bad[:4])}')


def _describe(cfg: Config) -> str:
    telling = ('type', 'depth', 'arch', 'in_channels')
    return ', '.join(f'{key}={cfg[key]!r}' for key in telling if key in cfg)
