"""The log of an iteration's losses, without waiting for them."""
from typing import Any, Optional

from mmengine.hooks import RuntimeInfoHook
from mmengine.runner import Runner

from pic_plugin.registry import HOOKS

from ..deferred_history import update_scalar_later


@HOOKS.register_module()
class DeferredRuntimeInfoHook(RuntimeInfoHook):
    """mmengine's ``RuntimeInfoHook``, which leaves the losses on the device until they are looked at.

    The numbers are the same; the host waits when the logger writes or a checkpoint is saved, not in every iteration.
    """

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: Optional[Any] = None,
                         outputs: Optional[dict] = None) -> None:
        """Log what the iteration gave."""
        for key, value in (outputs or {}).items():
            update_scalar_later(runner.message_hub, f'train/{key}', value)
