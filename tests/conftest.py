"""Settings of all tests."""
import os

import hypothesis
import torch

os.environ.setdefault('OMP_NUM_THREADS', '1')
torch.set_num_threads(1)  # the tests run side by side, one worker per core

# one profile: the same examples on every machine and in every run
hypothesis.settings.register_profile('fixed', deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile('fixed')
