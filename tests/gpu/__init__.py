"""What only a GPU can show: ``make test-gpu``.  Every test says why it is left out where there is none."""
import pytest
import torch

NUM_GPUS = torch.cuda.device_count() if torch.cuda.is_available() else 0


def needs_gpus(count):
    reason = f'needs {count} GPU{"s" * (count > 1)}, and torch sees {NUM_GPUS}'
    return pytest.mark.skipif(count > NUM_GPUS, reason=reason)
