"""Checks that data, network and head fit, before anything is trained."""
from typing import Any, Optional

import torch
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from pic_plugin.datasets.instance_dataset import seeded

from .common import instance_head, loader_in_order, unwrapped_model

_BATCH = 2  # images: one would not show whether there is a dimension for them
_ADVICE = {
    'data_preprocessor': 'give model.data_preprocessor a mean and std for each channel of the images',
    'backbone': 'change model.backbone.in_channels, or colours and size of the images in '
                'train_dataloader.dataset.pipeline',
    'neck': 'set model.neck.in_channels to the channels that the backbone gives; where these are pooled already, '
            'with_avg_pool=False or a neck that does not pool',
    'head': 'set model.head.in_channels, or model.neck.out_channels; maps want a neck that pools them',
}
_TOKENS = ('; tokens [B, L, C] are of no use to it: have the backbone give a vector (out_type=\'cls_token\' or '
           "'avg_featmap' of mmpretrain's), or a map (features_only=True, out_indices=(-1, ) of TIMMBackbone's)")


def check_network(runner: Runner) -> None:
    """Send two images through the training's pipeline and collate function, the backbone and the neck.

    In evaluation mode, without gradients and collectives; buffers and random generators are left as they were.

    Raises:
        ValueError: if a part fails on what it is given, or the features are not the head's ``[B, D]``; the part is
            named, with the shapes that are expected and given.
    """
    model, device = unwrapped_model(runner), instance_head(runner).weight.device
    was_training = model.training
    with seeded(0), torch.random.fork_rng([device] if device.type == 'cuda' else []), torch.no_grad(), \
            runner.optim_wrapper.optim_context(runner.model):
        batch = _two_images(runner)
        model.eval()
        given: list[tuple[str, nn.Module, Any]] = []  # to the model's parts, in the order in which they run
        hooks = [part.register_forward_pre_hook(lambda part, args, name=name: given.append((name, part, args[0])))
                 for name, part in model.named_children()]
        try:
            views = model.data_preprocessor(batch, True)['inputs']
            features = [model.project(view, torch.ones(_BATCH, dtype=torch.bool))
                        for view in (views if isinstance(views, (list, tuple)) else [views])]
        except Exception as error:
            name, part, data = given[-1]
            raise _misfit(name, part, _expected(part), data, f' ({type(error).__name__}: {error})') from error
        finally:
            for hook in hooks:
                hook.remove()
            model.train(was_training)
    num_channels = model.head.weight.shape[1]
    for data in features:
        if not (isinstance(data, Tensor) and data.shape == (_BATCH, num_channels)):
            raise _misfit('head', model.head, f'[B, {num_channels}]', data)


def _two_images(runner: Runner) -> dict[str, Any]:
    """A batch as the training's loader makes it.

    Read by a worker where the loader has some: these would share the files that were opened here.
    """
    dataset, num_workers = runner.train_dataloader.dataset, runner.train_dataloader.num_workers
    cause: Optional[Exception] = None
    try:
        batch, = loader_in_order(runner, [0, len(dataset) - 1], _BATCH, min(1, num_workers))
    except Exception as error:
        cause, got = error, f'{type(error).__name__}: {error}'
    else:
        got = _described(batch)
        views = batch.get('inputs') if isinstance(batch, dict) else None
        views = views if isinstance(views, (list, tuple)) else [views]
        if all(isinstance(view, Tensor) and view.dim() == 4 and len(view) == _BATCH for view in views):
            return batch
    raise ValueError(
        'train_dataloader does not fit: of two images a batch was expected, {inputs: [2, C, H, W] or a list of such '
        f'views, data_samples: [DataSample, DataSample]}}, got {got}; let dataset.pipeline give '
        "images of one size, and end with dict(type='PackInputs'), and set collate_fn=dict(type='default_collate')"
    ) from cause


def _misfit(name: str, part: nn.Module, expected: str, data: Any, fault: str = '') -> ValueError:
    last = data[-1] if isinstance(data, (list, tuple)) else data
    tokens = _TOKENS if isinstance(last, Tensor) and last.dim() == 3 else ''
    return ValueError(f'model.{name} ({type(part).__name__}) does not fit: expected {expected}, got '
                      f'{_described(data)}{fault}; {_ADVICE.get(name, "change it")}{tokens}')


def _expected(part: nn.Module) -> str:
    """The shape that a part takes, as far as its layers tell."""
    layers = list(part.modules())
    pools = any(isinstance(layer, nn.AdaptiveAvgPool2d) for layer in layers)
    for layer in layers:
        if isinstance(layer, _ConvNd):
            return f'[B, {layer.in_channels}, H, W]'
        if isinstance(layer, nn.Linear):
            return f'[B, {layer.in_features}{", H, W" if pools else ""}]'
    return '[B, C, H, W]'


def _described(data: Any) -> str:
    """Shapes and dtypes."""
    if isinstance(data, Tensor):
        return f'{list(data.shape)} {str(data.dtype).removeprefix("torch.")}'
    if isinstance(data, dict):
        return f'{{{", ".join(f"{key}: {_described(value)}" for key, value in data.items())}}}'
    if isinstance(data, (list, tuple)):
        return f'({", ".join(map(_described, data))})'
    return type(data).__name__
