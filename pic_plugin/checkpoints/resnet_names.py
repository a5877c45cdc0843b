"""The names of a ResNet's tensors in each library.

====================  =============================  =====================  ===========================
the authors of PIC    mmpretrain                     torchvision            Detectron2
====================  =============================  =====================  ===========================
module.encoder.conv1  backbone.conv1                 conv1                  stem.conv1
module.encoder.bn1    backbone.bn1                   bn1                    stem.conv1.norm
…layer1.0.conv2       backbone.layer1.0.conv2        layer1.0.conv2         res2.0.conv2
…layer1.0.bn2         backbone.layer1.0.bn2          layer1.0.bn2           res2.0.conv2.norm
…downsample.0         …downsample.0                  …downsample.0          …shortcut
…downsample.1         …downsample.1                  …downsample.1          …shortcut.norm
fc1, fc2              neck.mlp.0, neck.mlp.2         (no projection head)   (no projection head)
fc, the only layer    neck.fc                        (no projection head)   (no projection head)
(no classifier)       head.fc                        fc                     (left out)
====================  =============================  =====================  ===========================

The functions take and give dicts from name to tensor and copy nothing.  timm's ResNets have torchvision's names.
"""
import re
from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor
from torchvision.models import get_model

from .shapes import Shapes, differences, shapes_of

AUTHORS_PREFIX = 'module.encoder.'
_AUTHORS_HEAD = {'fc1': 'neck.mlp.0', 'fc2': 'neck.mlp.2', 'fc': 'neck.fc'}
# those of torchvision that differ from each other in a name or a shape
_ARCHITECTURES = ('resnet18', 'resnet34', 'resnet50', 'resnet101', 'resnet152', 'resnext50_32x4d', 'resnext101_32x8d',
                  'resnext101_64x4d', 'wide_resnet50_2', 'wide_resnet101_2')


def torchvision_architecture(backbone: Mapping[str, Tensor]) -> str:
    """Which of torchvision's networks this is, without its ``fc``, by all names and shapes.

    Args:
        backbone: in torchvision's names.

    Returns:
        str: such as ``resnet50``.

    Raises:
        ValueError: if it is none of them; it says how the nearest one differs.
    """
    given = shapes_of(backbone)
    differing = {}
    for architecture in _ARCHITECTURES:
        differing[architecture] = differences(given, _torchvision_shapes(architecture))
        if not differing[architecture]:
            return architecture
    nearest = min(_ARCHITECTURES, key=lambda architecture: len(differing[architecture]))
    stem = (', and torchvision has no deep stem (ResNetV1c, ResNetV1d)'
            if any(name.startswith('stem.') for name in given) else '')
    raise ValueError(f"the {len(given)} tensors are those of none of torchvision's networks{stem}; the nearest is "
                     f'{nearest}, with {len(differing[nearest])} differences: '
                     f'{"; ".join(differing[nearest][:4])}')


@cache
def _torchvision_shapes(architecture: str) -> Shapes:
    with torch.device('meta'):
        return shapes_of(backbone_names(get_model(architecture, weights=None).state_dict()))


def backbone_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The backbone by itself, as ``backbone.pth`` has it, from a network in mmpretrain's or torchvision's names."""
    if any(name.startswith('backbone.') for name in state):
        return {name.removeprefix('backbone.'): tensor for name, tensor in state.items()
                if name.startswith('backbone.')}
    return {name: tensor for name, tensor in state.items() if not name.startswith(('fc.', 'head.', 'neck.'))}


def mmpretrain_names_of_authors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Backbone and neck of one of the authors' released networks: ``backbone.…``, ``neck.…``.

    Args:
        state: the ``model`` of their checkpoint.  What does not belong to the encoder is left out.

    Raises:
        ValueError: if there is no encoder, or it is no ResNet of torchvision.
    """
    encoder = {name.removeprefix(AUTHORS_PREFIX): tensor for name, tensor in state.items()
               if name.startswith(AUTHORS_PREFIX)}
    if not encoder:
        raise ValueError(f'tensors named {AUTHORS_PREFIX}… were expected, as in the checkpoints that the authors of '
                         f'PIC released, got {", ".join(list(state)[:4])}, …')
    converted = {}
    for name, tensor in encoder.items():
        layer, _, kind = name.rpartition('.')
        converted[f'{_AUTHORS_HEAD[layer]}.{kind}' if layer in _AUTHORS_HEAD else f'backbone.{name}'] = tensor
    torchvision_architecture(backbone_names(converted))
    return converted


def mmpretrain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``backbone.…`` and ``head.fc`` of an image classifier, from torchvision's names.

    Raises:
        ValueError: if it is no ResNet of torchvision.
    """
    torchvision_architecture(backbone_names(state))
    return {('head.' if name.startswith('fc.') else 'backbone.') + name: tensor for name, tensor in state.items()}


def torchvision_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A ResNet in torchvision's names, with ``fc`` if it had a linear classifier; a neck is left out.

    Args:
        state: in mmpretrain's names, or the backbone by itself.

    Raises:
        ValueError: if torchvision has no such network.
    """
    converted = backbone_names(state)
    torchvision_architecture(converted)
    return converted | {name.removeprefix('head.'): tensor for name, tensor in state.items()
                        if name.startswith(('head.fc.', 'fc.'))}


def detectron2_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The backbone in Detectron2's names.

    Args:
        state: in mmpretrain's or torchvision's names, or the backbone by itself.

    Raises:
        ValueError: if it is no ResNet of torchvision.
    """
    backbone = backbone_names(state)
    torchvision_architecture(backbone)
    converted = {}
    for name, tensor in backbone.items():
        in_stage = re.fullmatch(r'layer(\d)\.(.+)', name)
        place, layer = (f'res{int(in_stage[1]) + 1}', in_stage[2]) if in_stage else ('stem', name)
        layer = re.sub(r'\bbn(\d)', r'conv\1.norm', layer)
        layer = layer.replace('downsample.0', 'shortcut').replace('downsample.1', 'shortcut.norm')
        converted[f'{place}.{layer}'] = tensor
    return converted
