"""Settings of all tests."""
import os

# on any machine the tests compare bits of CPUs, but those of tests/gpu (make test-gpu); before torch looks for GPUs
if os.environ.get('PIC_TEST_GPU') != '1':
    os.environ['CUDA_VISIBLE_DEVICES'] = ''

import hypothesis
import torch

os.environ.setdefault('OMP_NUM_THREADS', '1')
torch.set_num_threads(1)  # the tests run side by side, one worker per core

# one profile: the same examples on every machine and in every run
hypothesis.settings.register_profile('fixed', deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile('fixed')
