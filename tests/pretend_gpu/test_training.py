"""What is trained on the pretend GPU is what is trained on the CPU, and the host waits no more often than it did."""
import itertools
from collections import Counter

import pytest
import torch

from tests.tiny import assert_same, write_images

from . import device
from .training import NUM_IMAGES, config_of, pretending, train

pytestmark = pytest.mark.skipif(not device.AVAILABLE, reason='this torch has no Python backend for a device')

# How often the host waits in an iteration, and where.  A number may fall, and is lowered here then; it must not rise.
# For the loss of the step before the last one, and what left before the last one: the device has long been there.
_LATE = {'rows/transfer.py arrive': 1}
_SCALER = {'engine/optim_wrapper.py _log_step': 1}  # whether it skipped the step, at the end of which it is
_NETWORK = {'sharding/ranks.py all_gather': 1}  # the ids, for the other hosts and not for the device
WAITS = {
    ('recent', 1): _LATE,
    ('on disk', 1): _LATE,
    ('all classes', 1): _LATE,
    ('smoothed', 1): _LATE,
    ('all classes, smoothed', 1): _LATE,
    ('accumulated and clipped', 1): _LATE,
    ('foreach', 1): _LATE,
    ('plain softmax', 1): _LATE,
    ('not corrected', 1): _LATE,
    ('two views', 1): _LATE,
    ('multi-crop', 1): _LATE,
    ('contrastive prior', 1): _LATE,
    ('contrastive prior, all classes', 1): _LATE,
    ('kNN', 1): _LATE,
    ('bfloat16', 1): _LATE,
    ('float16', 1): {**_LATE, **_SCALER},
    ('recent', 2): {**_LATE, **_NETWORK},
    ('all classes, smoothed', 2): {**_LATE, **_NETWORK},
    ('float16', 2): {**_LATE, **_SCALER, **_NETWORK},
}


def train_and_compare(scenario, folder):
    """Compare with the CPU, and with a run that is resumed after the first epoch; returns each iteration's waits."""
    whole = train(config_of(scenario, folder / 'images', folder / 'whole'), device.NAME)
    assert {x.device for x in whole.runner.model.parameters()} == {torch.device('gpu:0')}
    assert_same(whole.tensors, train(config_of(scenario, folder / 'images', folder / 'cpu'), 'cpu').tensors)
    cfg = config_of(scenario, folder / 'images', folder / 'resumed')
    cfg.load_from, cfg.resume = str(folder / 'whole/epoch_1.pth'), True
    assert_same(whole.tensors, train(cfg, device.NAME).tensors)
    return [waits for waits, _ in whole.iterations]


@pytest.mark.parametrize('scenario, num_ranks', WAITS)
def test_the_cpus_bits_and_no_new_waits(tmp_path, scenario, num_ranks):
    write_images(tmp_path / 'images', NUM_IMAGES)
    iterations = pretending(train_and_compare, scenario, tmp_path, num_ranks=num_ranks)
    for waits in itertools.chain.from_iterable(iterations):
        counts = Counter(f'{file} {function}' for file, _, function in (wait.frames[0] for wait in waits))
        more = counts - Counter(WAITS[scenario, num_ranks])
        assert not more, f'the host waits more often: {dict(more)}, of\n' + '\n'.join(map(str, waits))
