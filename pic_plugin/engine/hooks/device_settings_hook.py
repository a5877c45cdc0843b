"""Settings that make accelerators faster and do not change the result but for rounding."""
import os
from typing import Any, Optional, Union

import torch
from mmengine.hooks import Hook
from mmengine.optim import BaseOptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from pic_plugin.datasets import InstanceDataset
from pic_plugin.models import InstanceDataPreprocessor
from pic_plugin.registry import HOOKS

from .common import unwrapped_model

_PRECISIONS = ('highest', 'high', 'medium')


@HOOKS.register_module()
class DeviceSettingsHook(Hook):
    """Settings that make accelerators faster and change nothing but rounding.  On a CPU it does nothing.

    It has :class:`.InstanceDataset` leave its augmentations to :class:`.InstanceDataPreprocessor`, on the device, where
    the pipeline ends with them.  And where ``randomness.deterministic`` is set it lets cuBLAS be deterministic, which
    otherwise refuses.

    Args:
        float32_matmul_precision: what ``torch.set_float32_matmul_precision`` takes; with 'high' float32 products are
            computed in TF32, as convolutions are anyway.  None leaves it as it is.
        channels_last: whether the backbone's images, and the weights of its convolutions, have their channels last in
            memory.  Not for networks with ops that read memory as if channels came first, such as mmcv's RoIAlign.
        compile_backbone: whether ``torch.compile`` compiles the backbone; a dict are its options.

    Raises:
        ValueError: if the precision is none that torch knows.
    """

    def __init__(self,
                 float32_matmul_precision: Optional[str] = None,
                 channels_last: bool = False,
                 compile_backbone: Union[bool, dict[str, Any]] = False) -> None:
        if float32_matmul_precision not in (None, *_PRECISIONS):
            raise ValueError(f'float32_matmul_precision must be None or one of {", ".join(_PRECISIONS)}, got '
                             f'{float32_matmul_precision!r}')
        self.float32_matmul_precision = float32_matmul_precision
        self.channels_last, self.compile_backbone = channels_last, compile_backbone

    def before_run(self, runner: Runner) -> None:
        """Set the precision; lay out the weights, before the optimizer has momenta like them."""
        model = unwrapped_model(runner)
        backbone = model.backbone
        if not _is_on_accelerator(backbone):
            return
        preprocessor = getattr(model, 'data_preprocessor', None)
        if isinstance(preprocessor, InstanceDataPreprocessor) and isinstance(runner.optim_wrapper, BaseOptimWrapper):
            dataset = runner.train_dataloader.dataset  # and the wrapper is no config: this is a training
            if isinstance(dataset, InstanceDataset):
                preprocessor.augmentations = dataset.hand_over_augmentations()
        if runner.deterministic:
            os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
        if self.float32_matmul_precision is not None:
            torch.set_float32_matmul_precision(self.float32_matmul_precision)
        if self.channels_last:
            # DistributedDataParallel lays out its buckets anew after the first iteration
            backbone.to(memory_format=torch.channels_last)
            backbone.register_forward_pre_hook(_channels_last_images)

    def before_train(self, runner: Runner) -> None:
        """Lay out what was resumed like the weights, as fused optimizers want it; compile."""
        backbone = unwrapped_model(runner).backbone
        if not _is_on_accelerator(backbone):
            return
        for parameter, state in runner.optim_wrapper.optimizer.state.items():
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape and \
                        value.stride() != parameter.stride():
                    state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        if self.compile_backbone:
            backbone.compile(**(self.compile_backbone if isinstance(self.compile_backbone, dict) else {}))


def _is_on_accelerator(module: nn.Module) -> bool:
    return next(module.parameters()).device.type != 'cpu'


def _channels_last_images(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(arg.contiguous(memory_format=torch.channels_last) if isinstance(arg, Tensor) and arg.dim() == 4
                 else arg for arg in args)
