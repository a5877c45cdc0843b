"""A trained backbone for others: in the names of a library, or as ONNX, which needs none."""
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from pic_plugin.checkpoints.convert import Save, save_detectron2, save_safetensors, save_torch
from pic_plugin.checkpoints.read import load_tensors_only, network_tensors
from pic_plugin.checkpoints.resnet_names import (
    backbone_names,
    detectron2_names,
    torchvision_architecture,
    torchvision_names,
)
from pic_plugin.whole_file import check_new, whole_file

from .network import load_network
from .onnx_file import USE, save_onnx
from .training import find_checkpoint


class Target(NamedTuple):
    """What a network is exported to."""
    suffix: str
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]]  # the backbone's tensors, from mmpretrain's names
    save: Save
    use: str  # how to load it; {file} and {architecture} are filled in


def _mmpretrain(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f'backbone.{name}': tensor for name, tensor in state.items()}


def _same(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return state


TARGETS = {
    'torchvision': Target('.pth', torchvision_names, save_torch,
                          "torchvision.models.{architecture}().load_state_dict(torch.load('{file}', "
                          'weights_only=True), strict=False)  # all but fc'),
    'timm': Target('.pth', torchvision_names, save_torch,
                   "timm.create_model('{architecture}', num_classes=0, checkpoint_path='{file}')"),
    'mmpretrain': Target('.pth', _mmpretrain, save_torch,
                         "backbone=dict(..., init_cfg=dict(type='Pretrained', checkpoint='{file}', "
                         "prefix='backbone.'))"),
    'detectron2': Target('.pkl', detectron2_names, save_detectron2,
                         "MODEL.WEIGHTS: '{file}', with MODEL.RESNETS.STRIDE_IN_1X1: False"),
    'safetensors': Target('.safetensors', _same, save_safetensors,
                          "safetensors.torch.load_file('{file}'): the backbone's tensors, in mmpretrain's names"),
}
ONNX = 'onnx'


def export_network(source: Path, to: str, out: Optional[Path] = None, config: Optional[str] = None) -> tuple[Path, str]:
    """Write a backbone for a library.

    Args:
        source: a work directory, a release's folder, or a checkpoint.
        to: one of :data:`TARGETS`, or ``onnx``.
        out: the file to write; by default ``backbone.onnx``, ``backbone_timm.pth`` and so on in ``source``'s folder.
        config: of the network, for ``onnx`` alone; the one beside the checkpoint if None.

    Returns:
        tuple: the file, and a line that loads it.

    Raises:
        ValueError: if the target does not know such a network, or something is not there, exists already, is damaged
            or not finite.
    """
    if to != ONNX and to not in TARGETS:
        raise ValueError(f'--to must be one of {", ".join([*TARGETS, ONNX])}, got {to!r}')
    suffix = f'.{ONNX}' if to == ONNX else TARGETS[to].suffix
    if out is None:
        name = 'backbone' if suffix == f'.{to}' else f'backbone_{to}'
        out = (source if source.is_dir() else source.parent) / f'{name}{suffix}'
    elif out.suffix != suffix:
        raise ValueError(f'a file for {to} ends with {suffix}, got --out {out}')
    check_new(out)
    if to == ONNX:
        save_onnx(load_network(source, config), out)
        return out, USE.format(file=out)
    weights = find_checkpoint(source, with_neck=False)
    backbone = backbone_names(network_tensors(load_tensors_only(weights), weights))
    if bad := [name for name, tensor in backbone.items() if not torch.isfinite(tensor).all()]:
        raise ValueError(f'{weights}: {len(bad)} tensors have values that are not finite: {", ".join(bad[:4])}')
    target = TARGETS[to]
    try:
        renamed = target.rename(backbone)
    except ValueError as error:
        raise ValueError(f'{to} is given the ResNets that torchvision has, and {weights} is another network: {error}. '
                         f'--to mmpretrain, safetensors and {ONNX} take any') from error
    with whole_file(out) as path:
        target.save(renamed, path)
    architecture = torchvision_architecture(backbone) if '{architecture}' in target.use else ''
    return out, target.use.format(file=out, architecture=architecture)
