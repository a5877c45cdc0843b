"""Checks which tensors of a checkpoint the backbone took; mmengine itself only warns, and trains from scratch."""
import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Optional

import torch
from mmengine.hooks import Hook
from mmengine.model import PretrainedInit
from mmengine.optim import BaseOptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from pic_plugin.checkpoints.read import load_tensors_only
from pic_plugin.registry import HOOKS

from .common import unwrapped_model

_NOT_GIVEN = (None, '', 'none')  # 'none' is what the configs say where CHECKPOINT is not set: mmengine wants a default


class _Source(NamedTuple):
    """A file, as seen by a module."""
    path: str
    prefix: str  # of the module's names in the file
    tensors: dict[str, Tensor]  # by the module's names
    others: list[str]  # names in the file without that prefix


@HOOKS.register_module()
class CheckBackboneHook(Hook):
    """Stops a training that would not start from the whole of the checkpoint that it names.

    Before the weights are initialised it looks at ``init_cfg=dict(type='Pretrained', checkpoint=..., prefix=...)`` of
    each module and at its file; afterwards it compares, value by value, the module's tensors with the file's.  What it
    finds goes to the log: how many tensors were taken, and which of the file's were left.  Without ``Pretrained`` the
    module starts from random weights, and the log says so.  A run that is resumed takes its weights from its own
    checkpoint and is not checked.

    It works for each toolbox of OpenMMLab; mmdet and mmseg name it ``mmpretrain.CheckBackboneHook``.

    Args:
        modules: the model's parts that take tensors of a file.  A Faster R-CNN C4 has the last stage of its network in
            ``roi_head.shared_head``.
        new: the beginnings of names, in the model, of tensors that these modules have and the file has not.

    Raises:
        ValueError: when training starts, if no checkpoint is given, it is no file of tensors, a module does not take
            all of its tensors from it or takes other shapes or values, or the file has more tensors of the module's
            parts (a network of another depth).
    """

    def __init__(self, modules: Sequence[str] = ('backbone', ), new: Sequence[str] = ()) -> None:
        self.modules, self.new = tuple(modules), tuple(new)
        self._resumed = False

    def before_run(self, runner: Runner) -> None:
        """Look at the files, before mmengine loads them, which might run code."""
        self._resumed = False
        if isinstance(runner.optim_wrapper, BaseOptimWrapper):  # and not a config: this is a training
            for name in self.modules:
                self._compare(runner, name, _check_names)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note that the weights come from elsewhere."""
        self._resumed = runner._resume

    def before_train(self, runner: Runner) -> None:
        """Look at the values."""
        if self._resumed:
            runner.logger.info('The run is resumed: whether the backbone took the tensors of a checkpoint was checked '
                               'when it started')
            return
        for name in self.modules:
            if (taken := self._compare(runner, name, _check_values)) is None:
                runner.logger.warning(f'model.{name} starts from random weights: its init_cfg names no checkpoint')
                continue
            names, source = taken
            left = {source.prefix + key for key in source.tensors.keys() - names}.union(source.others)
            text = f'; {len(left)} are left in the file: {_listed(left)}' if left else ''
            runner.logger.info(f'model.{name} took {len(names)} of the {len(names) + len(left)} tensors of '
                               f'{source.path}{text}')

    def _compare(self, runner: Runner, name: str, check: Callable) -> Optional[tuple[list[str], _Source]]:
        """The names that a module takes, and where from; None if it starts from random weights."""
        module = unwrapped_model(runner).get_submodule(name)
        if (source := _source(name, module)) is None:
            return None
        own = module.state_dict()
        new = tuple(prefix[len(name) + 1:] for prefix in self.new if prefix.startswith(f'{name}.'))
        # some files are without the counter of BatchNorm, which takes no part in anything
        wanted = [key for key in own if key in source.tensors or not
                  (key.endswith('num_batches_tracked') or any(f'{key}.'.startswith(f'{prefix}.') for prefix in new))]
        check(name, own, wanted, source)
        return wanted, source


def _source(name: str, module: nn.Module) -> Optional[_Source]:
    """What mmengine's ``Pretrained`` takes of the file that a module's ``init_cfg`` names."""
    if (pretrained := pretrained_cfg(module)) is None:
        return None
    key, checkpoint, prefix = f'model.{name}.init_cfg', pretrained.get('checkpoint'), pretrained.get('prefix')
    if checkpoint in _NOT_GIVEN:
        raise ValueError(f'no checkpoint is given: set CHECKPOINT=/path/to/backbone.pth before the command, or '
                         f'{key}.checkpoint in --cfg-options; to start from random weights, set {key}=None')
    path = os.path.abspath(os.path.expanduser(checkpoint))
    if not os.path.isfile(path):
        raise ValueError(f'the checkpoint of {key} must be a file on this machine, and there is no {path}')
    content: Any = load_tensors_only(path)
    state = content.get('state_dict', content) if isinstance(content, dict) else {}
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(f'{path} holds no dict of tensors, neither by itself nor as state_dict')
    if prefix is None:
        return _Source(path, '', {re.sub(r'^module\.', '', key): value for key, value in tensors.items()}, [])
    prefix = prefix if prefix.endswith('.') else f'{prefix}.'
    return _Source(path, prefix,
                   {key[len(prefix):]: value for key, value in tensors.items() if key.startswith(prefix)},
                   [key for key in tensors if not key.startswith(prefix)])


def pretrained_cfg(module: nn.Module) -> Optional[dict[str, Any]]:
    """The part of a module's ``init_cfg`` that names a file, None if it has none."""
    init_cfgs = getattr(module, 'init_cfg', None) or []
    init_cfgs = [init_cfgs] if isinstance(init_cfgs, dict) else init_cfgs
    return next((cfg for cfg in init_cfgs if cfg['type'] in ('Pretrained', PretrainedInit)), None)


def _check_names(name: str, own: dict[str, Tensor], wanted: list[str], source: _Source) -> None:
    tensors = source.tensors
    missing = [key for key in wanted if key not in tensors]
    shapes = [f'{key} {tuple(tensors[key].shape)} for {tuple(own[key].shape)}' for key in wanted
              if key in tensors and tensors[key].shape != own[key].shape]
    children = {key.split('.')[0] for key in own}
    surplus = [key for key in tensors if key.split('.')[0] in children and key not in own]
    faults = []
    if missing:
        faults.append(f'{len(missing)} of its {len(wanted)} tensors are not in the file ({_listed(missing)})')
    if shapes:
        faults.append(f'{len(shapes)} have another shape in the file ({_listed(shapes)})')
    if surplus:
        faults.append(f'{len(surplus)} of the file have no place in it ({_listed(surplus)})')
    if len(missing) == len(wanted):
        faults.append(_advice(name, wanted[0], source))
    elif faults:
        faults.append('is it a network of another kind or depth?')
    if faults:
        raise ValueError(f'model.{name} must take all of its tensors from {source.path}: {"; ".join(faults)}')


def _check_values(name: str, own: dict[str, Tensor], wanted: list[str], source: _Source) -> None:
    if others := [key for key in wanted if not torch.equal(own[key].cpu(), source.tensors[key].to(own[key].dtype))]:
        raise ValueError(f'model.{name} must take all of its tensors from {source.path}: {len(others)} of its '
                         f'{len(wanted)} have other values ({_listed(others)}); was something else loaded after it, '
                         'as by load_from?')


def _advice(name: str, key: str, source: _Source) -> str:
    """Where in the file the tensors are, if they are."""
    names = [source.prefix + other for other in source.tensors] + source.others
    found = next((other for other in names if other == key or other.endswith(f'.{key}')), None)
    if found is None:
        return f'it is of another kind of network: it has {_listed(names)}'
    return f'set model.{name}.init_cfg.prefix={found[:-len(key) - 1] or None}'


def _listed(names: Iterable[str], most: int = 5) -> str:
    names = sorted(names)
    return ', '.join(names[:most]) + (f' and {len(names) - most} more' if len(names) > most else '')
