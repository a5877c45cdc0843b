"""Settings of the tests on GPUs, which all others hide."""
import os

import pytest
import torch

collect_ignore_glob = [] if os.environ.get('PIC_TEST_GPU') == '1' else ['test_*.py']
os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')  # torch looks once, at the first product


@pytest.fixture(autouse=True)
def _settings_as_before():
    """What a run sets for the whole process."""
    precision, benchmark = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    yield
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = benchmark, False
    torch.use_deterministic_algorithms(False)
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode('default')
