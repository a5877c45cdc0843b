"""A small zoo: one family, one config, and a network that fits it."""
from pathlib import Path

import torch
import yaml
from mmengine.config import Config
from mmpretrain.registry import MODELS
from torch import Tensor

from tests.checkpoints.networks import randomised

CONFIG = """
default_scope = 'mmpretrain'
custom_imports = dict(imports=['pic_plugin.models'])
model = dict(
    type='PIC',
    data_preprocessor=dict(type='SelfSupDataPreprocessor', mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], to_rgb=True),
    backbone=dict(type='ResNet', depth={depth}, stem_channels={width}, base_channels={width}),
    neck=dict(type='MoCoV2Neck', in_channels={channels}, hid_channels=16, out_channels=8),
    head=dict(type='CosineInstanceHead', in_channels=8, num_negatives=8, temperature=0.2))
work_dir = '/home/someone/private'
load_from = None
"""
ENTRY = {'Name': 'small', 'In Collection': 'Small', 'Config': 'configs/small/small.py', 'Summary': 'A small one',
         'Status': 'not yet trained', 'Metadata': {'Epochs': 2},
         'Published Results': [{'Task': 'T', 'Dataset': 'D', 'Metrics': {'m': 1.5, 'n': 2}, 'Source': 'a paper'}]}


def write_config(path: Path, depth: int = 18, width: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CONFIG.format(depth=depth, width=width, channels=width * (8 if depth < 50 else 32)))
    return path


def network(config: Path) -> dict[str, Tensor]:
    """Backbone, neck and data of a random network, as a checkpoint of a training has them."""
    cfg = Config.fromfile(config)
    torch.manual_seed(0)
    parts = {part: randomised(MODELS.build(cfg.model[part])) for part in ('backbone', 'neck')}
    return {f'{part}.{name}': tensor for part, module in parts.items() for name, tensor in module.state_dict().items()}


def write_zoo(root: Path, entries: list[dict]) -> Path:
    """``model-index.yml``, a metafile and the config of :data:`ENTRY`."""
    write_config(root / 'configs/small/small.py')
    (root / 'model-index.yml').write_text('Import:\n  - configs/*/metafile.yml\n  - configs/*/*/metafile.yml\n')
    (root / 'configs/small/metafile.yml').write_text(yaml.safe_dump({
        'Collections': [{'Name': 'Small', 'Summary': 'Small ones', 'Paper': {'Title': 'A title', 'URL': 'http://p'}}],
        'Models': entries}, sort_keys=False))
    return root
