"""What several hooks ask of a runner."""
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Optional

import torch
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner, find_latest_checkpoint
from mmpretrain.models import BaseSelfSupervisor

from pic_plugin.models import CosineInstanceHead


def unwrapped_model(runner: Runner) -> BaseSelfSupervisor:
    """The model, without DistributedDataParallel."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def instance_head(runner: Runner) -> CosineInstanceHead:
    """The model's instance head.

    Raises:
        ValueError: if it has none.
    """
    head = getattr(unwrapped_model(runner), 'head', None)
    if not isinstance(head, CosineInstanceHead):
        raise ValueError(f'model.head must be a CosineInstanceHead for this hook, got {type(head).__name__}')
    return head


def latest_checkpoint(runner: Runner) -> Optional[str]:
    """The last complete checkpoint of the work directory, None if there is none."""
    if not os.path.isfile(os.path.join(runner.work_dir, 'last_checkpoint')):
        return None
    return find_latest_checkpoint(runner.work_dir)


def load_tensors_only(path: Any, mmap: bool = True) -> dict:
    """The content of a file of tensors and plain values; nothing else is unpickled.

    Raises:
        ValueError: if it is another file, or cut off.
    """
    try:
        return torch.load(path, map_location='cpu', weights_only=True, mmap=mmap)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f'{path} is not a checkpoint of tensors and plain values; loading it might run code, so it is '
                         f'not loaded ({error})') from error


@contextmanager
def way_back(runner: Runner) -> Iterator[None]:
    """Add to a ``FloatingPointError`` the checkpoint that training can go on from."""
    try:
        yield
    except FloatingPointError as error:
        good = latest_checkpoint(runner)
        advice = f'the last good checkpoint is {good}; lower the learning rate and resume from it' if good else \
            'there is no checkpoint yet; lower the learning rate and start again'
        raise FloatingPointError(f'{error} at iteration {runner.iter}: training stops before any row is written back; '
                                 f'{advice}') from error
