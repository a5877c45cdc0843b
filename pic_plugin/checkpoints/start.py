"""Starting from a checkpoint: which tensors a network takes from it."""
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .read import network_tensors
from .shapes import differences, shapes_of


def fit_backbone(checkpoint: dict[str, Any], network: Mapping[str, Tensor], path: str) -> None:
    """Prepare a checkpoint so that a network takes its backbone from it; mmengine only warns of what does not fit.

    Args:
        checkpoint: a network under ``state_dict``, or a dict of tensors: of a network, or of a backbone alone as
            ``backbone.pth`` has it.  The latter get the names that they have in the network, in place.
        network: its state dict.
        path: where the checkpoint is from, for the message.

    Raises:
        ValueError: if the network's backbone would not take all of its tensors.
    """
    tensors = checkpoint.get('state_dict', checkpoint)
    state = {name.removeprefix('module.'): tensor for name, tensor in network_tensors(checkpoint, path).items()}
    if not any(name.startswith('backbone.') for name in state):
        state = {f'backbone.{name}': tensor for name, tensor in state.items()}
    expected = shapes_of({name: tensor for name, tensor in network.items() if name.startswith('backbone.')})
    given = shapes_of({name: tensor for name, tensor in state.items() if name in expected})
    if faults := differences(given, expected):
        raise ValueError(f'load_from={path} does not fit model.backbone: {len(faults)} of its {len(expected)} tensors '
                         f'would not be loaded ({"; ".join(faults[:3])}); give a checkpoint of the same kind and depth '
                         "of network, in mmpretrain's names (tools/model_converters), or leave load_from out to start "
                         'from random weights')
    tensors.clear()
    tensors.update(state)
