"""Mixed precision without an accelerator."""
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler


@contextmanager
def scaler_on_the_cpu() -> Iterator[None]:
    """mmengine's AMP asks for an accelerator; torch's scalers work on the CPU as well."""
    with patch('mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available', return_value=True), \
            patch('mmengine.optim.optimizer.amp_optimizer_wrapper.GradScaler',
                  lambda **kwargs: torch.amp.GradScaler('cpu', **kwargs)), \
            patch('torch.distributed.fsdp.sharded_grad_scaler.ShardedGradScaler',
                  lambda **kwargs: ShardedGradScaler('cpu', **kwargs)):
        yield
