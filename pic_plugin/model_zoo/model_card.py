"""The page that comes with a released network."""
from collections.abc import Mapping
from typing import Any, Optional

from mmengine.config import Config
from torch import Tensor

from pic_plugin.checkpoints.resnet_names import backbone_names, torchvision_architecture

TEMPLATE = """# {name}

The {parts} of a network that was trained without labels: every image was a class of its own, and {method}.
`{name}.py` is the config of the training.

| | |
|---|---|
{facts}

## Files

Both hold the same {num_tensors} tensors. Neither has any code in it: the first loads with `weights_only=True`.

| file | SHA-256 |
|---|---|
{files}

## Use

{use}

## Limits

The network was trained to tell images apart. What it has learnt, and what its training data lacked or favoured, is in
its features; measure them on your own task before you rely on them. It has no classifier of categories.
"""

RECENT_CLASSES = """those seen last took part in the softmax
(parametric instance classification, [Cao et al., NeurIPS 2020](https://arxiv.org/abs/2006.14618))"""
ALL_CLASSES = """all of them took part in the softmax
(full instance classification, [Liu et al., AAAI 2021](https://arxiv.org/abs/2102.04848))"""
TORCHVISION = """```python
import torch, torchvision
network = torchvision.models.{architecture}()
network.load_state_dict(torch.load('{file}', weights_only=True), strict=False)  # all but fc
```

or, in a config of mmpretrain, mmdet or mmseg:

"""
MMPRETRAIN = """```python
backbone = dict({backbone}, init_cfg=dict(type='Pretrained', checkpoint='{file}'{prefix}))
```"""


def model_card(name: str, cfg: Config, state: Mapping[str, Tensor], sums: Mapping[str, str],
               summary: Optional[Mapping[str, Any]], versions: Mapping[str, Optional[str]],
               meta: Mapping[str, Any]) -> str:
    """Markdown.

    Args:
        name: of the release.
        cfg: of the training.
        state: what is released.
        sums: file name -> SHA-256.
        summary: of the training log.
        versions: of the packages at hand.
        meta: of the checkpoint, if it had one.
    """
    with_neck = any(key.startswith('neck.') for key in state)
    file = next(iter(sums))
    names = sorted(cfg.model.backbone, key=lambda key: key != 'type')
    backbone = ', '.join(f'{key}={cfg.model.backbone[key]!r}' for key in names if key != 'init_cfg')
    use = MMPRETRAIN.format(backbone=backbone, file=file, prefix=", prefix='backbone.'" if with_neck else '')
    if not with_neck and (architecture := _torchvision(state)):
        use = TORCHVISION.format(architecture=architecture, file=file) + use
    all_classes = cfg.model.get('head', {}).get('num_negatives', 'the default') is None
    return TEMPLATE.format(
        name=name, parts='backbone and neck' if with_neck else 'backbone', num_tensors=len(state),
        method=ALL_CLASSES if all_classes else RECENT_CLASSES,
        facts='\n'.join(f'| {key} | {value} |' for key, value in _facts(cfg, state, summary, versions, meta).items()),
        files='\n'.join(f'| `{key}` | `{digest}` |' for key, digest in sums.items()), use=use)


def _facts(cfg: Config, state: Mapping[str, Tensor], summary: Optional[Mapping[str, Any]],
           versions: Mapping[str, Optional[str]], meta: Mapping[str, Any]) -> dict[str, str]:
    model = cfg.model
    depth = f'-{model.backbone.depth}' if 'depth' in model.backbone else ''
    facts = {'network': f'`{model.backbone.type}{depth}`, {sum(tensor.numel() for tensor in state.values()):,} values'}
    if 'neck' in model and 'in_channels' in model.neck:
        facts['features'] = f'{model.neck.in_channels}, the average over the places of its last map'
    if preprocessor := model.get('data_preprocessor'):
        order = 'RGB' if preprocessor.get('to_rgb') else 'as OpenCV reads them (BGR, or grey)'
        facts['images'] = (f'{order}, values from 0 to 255, minus {list(preprocessor.mean)}, divided by '
                           f'{list(preprocessor.std)}')
    if 'epoch' in meta:
        facts['checkpoint'] = f'after epoch {meta["epoch"]}, iteration {meta["iter"]}, seed {meta.get("seed")}'
    if summary is None:
        facts['training'] = 'no log was found beside the checkpoint'
    else:
        facts['training'] = (f'{summary["epochs"]} epochs, {summary["iterations"]} iterations, {summary["hours"]} h; '
                             f'loss from {summary["first_loss"]:.3f} to {summary["last_loss"]:.3f}')
        facts |= {f'{key}, measured in training': f'{value:.2f}' for key, value in summary['metrics'].items()}
    facts['released with'] = ', '.join(f'{key} {value}' for key, value in versions.items() if value)
    return facts


def _torchvision(state: Mapping[str, Tensor]) -> Optional[str]:
    try:
        return torchvision_architecture(backbone_names(state))
    except ValueError:
        return None
