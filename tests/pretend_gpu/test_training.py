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
_STEP = {
    'models/cosine_instance_head.py check_finite': 1,
    'models/cosine_instance_head.py loss': 1,
    'sharding/softmax.py <genexpr>': 3,
    'sharding/softmax.py forward': 1,
    'base_model/data_preprocessor.py cast_data': 1,
    'logging/message_hub.py _get_valid_value': 1,
}
_RECENT = {
    **_STEP,
    'rows/recent_rows.py _bring_in': 3,
    'rows/recent_rows.py _write_back': 3,
    'rows/recent_rows.py _release': 1,
}
_NETWORK = {'sharding/ranks.py all_gather': 1}
WAITS = {
    ('recent', 1): _RECENT,
    ('on disk', 1): _RECENT,
    ('all classes', 1): _STEP,
    ('smoothed', 1): {**_RECENT, 'rows/hard_classes.py of_batch': 3},
    ('all classes, smoothed', 1): _STEP,
    ('accumulated and clipped', 1): {**_RECENT, 'rows/recent_rows.py _set_active': 1,
                                'optimizer/optimizer_wrapper.py _clip_grad': 1},
    ('foreach', 1): _RECENT,
    ('plain softmax', 1): _RECENT,
    ('not corrected', 1): _RECENT,
    ('two views', 1): {**_RECENT, 'base_model/data_preprocessor.py cast_data': 2},
    ('multi-crop', 1): {**_RECENT, 'base_model/data_preprocessor.py cast_data': 3, 'sharding/softmax.py <genexpr>': 6,
                   'sharding/softmax.py forward': 2, 'models/cosine_instance_head.py loss': 2},
    ('contrastive prior', 1): _RECENT,
    ('contrastive prior, all classes', 1): _STEP,
    ('kNN', 1): _RECENT,
    ('bfloat16', 1): _RECENT,
    ('float16', 1): {**_RECENT, 'engine/optim_wrapper.py _log_step': 1},
    ('recent', 2): {**_RECENT, **_NETWORK, 'rows/recent_rows.py _set_active': 1},
    ('all classes, smoothed', 2): {**_STEP, **_NETWORK, 'sharding/ranks.py sum_': 1},
    ('float16', 2): {**_RECENT, **_NETWORK, 'rows/recent_rows.py _set_active': 1,
                     'engine/optim_wrapper.py _log_step': 1},
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
