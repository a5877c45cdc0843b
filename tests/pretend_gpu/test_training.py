"""What is trained on the pretend GPU is what is trained on the CPU, and the host waits no more often than it did."""
import itertools
from collections import Counter

import pytest
import torch
from mmengine.model import is_model_wrapper

from tests.tiny import assert_same, write_images

from . import device
from .training import NUM_IMAGES, RUNS, config_of, pretending, train

pytestmark = pytest.mark.skipif(not device.AVAILABLE, reason='this torch has no Python backend for a device')


def waits_per_iteration(scenario, num_ranks):
    """How often the host waits, and where.  A number may fall, and is lowered here then; it must not rise."""
    # for what was sent to it a step ago: the device is long past that, and has a step to go on with
    counts = Counter({'rows/transfer.py arrive': 1})
    if num_ranks > 1:
        counts['sharding/ranks.py all_gather'] = 1  # of the ids: for the other hosts, not for the device
    if scenario == 'float16':
        counts['engine/optim_wrapper.py _log_step'] = 1  # whether the scaler skipped the step, at its end
    if scenario == 'two optimizers, float16':
        counts['amp/grad_scaler.py <genexpr>'] = 1  # whether it skips the step, before it
    return counts


def train_and_compare(scenario, folder):
    """Compare with the CPU, and with a run that is resumed after the first epoch; returns each iteration's waits."""
    whole = train(config_of(scenario, folder / 'images', folder / 'whole'), device.NAME)
    assert {x.device for x in whole.runner.model.parameters()} == {torch.device('gpu:0')}
    model = whole.runner.model.module if is_model_wrapper(whole.runner.model) else whole.runner.model
    assert len(model.data_preprocessor.augmentations) == (6 if 'augmented' in scenario else 0)
    assert_same(whole.tensors, train(config_of(scenario, folder / 'images', folder / 'cpu'), 'cpu').tensors)
    cfg = config_of(scenario, folder / 'images', folder / 'resumed')
    cfg.load_from, cfg.resume = str(folder / 'whole/epoch_1.pth'), True
    assert_same(whole.tensors, train(cfg, device.NAME).tensors)
    return [waits for waits, _ in whole.iterations]


@pytest.mark.parametrize('scenario, num_ranks', RUNS)
def test_the_cpus_bits_and_no_new_waits(tmp_path, scenario, num_ranks):
    write_images(tmp_path / 'images', NUM_IMAGES)
    for of_rank in pretending(train_and_compare, scenario, tmp_path, num_ranks=num_ranks):
        counts = Counter(f'{file} {function}' for waits in of_rank for file, _, function in (
            wait.frames[0] for wait in waits))
        # a thread's wait may come after the iteration that it belongs to
        allowed = Counter({where: number * (len(of_rank) + 1)
                           for where, number in waits_per_iteration(scenario, num_ranks).items()})
        assert not counts - allowed, f'the host waits more often: {dict(counts - allowed)}, of\n' + '\n'.join(
            map(str, itertools.chain.from_iterable(of_rank)))
