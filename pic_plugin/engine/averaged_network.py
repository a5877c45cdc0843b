"""mmengine's ``EMAHook`` (and mmpretrain's) beside rows: it averages the network, and leaves the head alone."""
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.hooks import EMAHook
from mmengine.registry import MODELS
from mmengine.runner import Runner
from torch import nn


def averaging_hooks(runner: Runner) -> list[EMAHook]:
    """Those that are registered."""
    return [hook for hook in runner.hooks if isinstance(hook, EMAHook)]


def leave_out_rows(runner: Runner) -> None:
    """Have the hooks average, swap and save all but the head, whose slots hold other rows in each iteration.

    To be called once they have copied the model.
    """
    for hook in averaging_hooks(runner):
        children = hook.src_model.named_children()
        hook.src_model = nn.ModuleDict({name: child for name, child in children if name != 'head'})
        hook.ema_model = MODELS.build(hook.ema_cfg, default_args=dict(model=hook.src_model))


@contextmanager
def averaged_network(runner: Runner) -> Iterator[None]:
    """Within, the model has the averaged weights, if there are any: those that checkpoints have as ``state_dict``."""
    hooks = averaging_hooks(runner)
    for hook in hooks:
        hook._swap_ema_parameters()
    try:
        yield
    finally:
        for hook in reversed(hooks):
            hook._swap_ema_parameters()
