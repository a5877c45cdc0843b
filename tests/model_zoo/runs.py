"""A run of a small ResNet, as far as evaluation needs it, and a network that does not fit."""
from pathlib import Path

import torch

from tests.model_zoo.small import network, write_config

PIPELINE = ("test_pipeline = [dict(type='LoadImageFromFile'), dict(type='ResizeEdge', scale=32, edge='short'), "
            "dict(type='CenterCrop', crop_size=32), dict(type='PackInputs')]\n")


def write_run(folder: Path, depth: int = 18, scale: float = 1.0) -> Path:
    """``small.py`` and ``backbone.pth``."""
    config = write_config(folder / 'small.py', depth)
    config.write_text(config.read_text() + PIPELINE)
    state = {name.removeprefix('backbone.'): scale * tensor for name, tensor in network(config).items()
             if name.startswith('backbone.')}
    torch.save(state, folder / 'backbone.pth')
    return folder
