"""Two ranks under NCCL, each with a GPU."""
import pytest
import torch
from mmengine.runner import Runner

from pic_plugin.engine import AmpWeightCorrectingOptimWrapper
from pic_plugin.sharding import Ranks
from tests.pretend_gpu.training import NUM_IMAGES, SCENARIOS, config_of
from tests.ranks import run_ranks
from tests.tiny import trained_state, write_images

from . import needs_gpus

pytestmark = needs_gpus(2)


def train(rank, world_size, scenario, folder, resume):
    cfg = config_of(scenario, folder / 'images', folder / f'ranks-{world_size}')
    cfg.pop('model_wrapper_cfg', None)  # the pretend GPU's: here it is mmengine's own
    cfg.default_hooks.device.float32_matmul_precision = 'highest'
    cfg.resume = resume
    cfg.train_cfg.max_epochs = 3 if resume else 2
    runner = Runner.from_cfg(cfg)
    runner.train()
    tensors = trained_state(runner)
    return {name: tensor.cpu() for name, tensor in tensors.items()}


# BatchNorm's statistics are each rank's own, and float16 may skip other steps
@pytest.mark.parametrize('scenario', [name for name in SCENARIOS if 'prior' not in name and 'float16' not in name])
def test_two_ranks_train_to_what_one_does_and_resume(tmp_path, scenario):
    write_images(tmp_path / 'images', NUM_IMAGES)
    limits = dict(rtol=0.05, atol=0.05) if scenario == 'bfloat16' else dict(rtol=1e-3, atol=1e-3)
    for resume in (False, True):
        one, = run_ranks(train, 1, scenario, tmp_path, resume)
        for two in run_ranks(train, 2, scenario, tmp_path, resume, backend='nccl'):
            for name, tensor in one.items():
                torch.testing.assert_close(two[name], tensor, msg=lambda text, n=name: f'{n}: {text}', **limits)


def overflow(rank, world_size, ranks_with_inf, settings):
    torch.manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(3, 2, device='cuda')) for _ in range(2)]
    wrapper = AmpWeightCorrectingOptimWrapper(
        optimizer=torch.optim.SGD(params, lr=0.1, momentum=0.9, fused=True), loss_scale=dict(init_scale=1024.0),
        **settings)
    wrapper.track_rows(params[1], Ranks.of_world())
    steps = []
    for factor in (torch.inf if rank in ranks_with_inf else 1.0, 1.0):
        before = params[0].detach().clone()
        wrapper.update_params(sum((p**2).sum() for p in params) * factor)
        finite = all(bool(p.isfinite().all()) for p in params)
        steps.append((not torch.equal(params[0], before), finite, len(wrapper.step_log),
                      wrapper.loss_scaler.get_scale()))
    return steps


@pytest.mark.parametrize('settings', [{}, dict(clip_grad=dict(max_norm=1.0))], ids=['', 'clipped'])
@pytest.mark.parametrize('ranks_with_inf', [(), (0, ), (1, ), (0, 1)])
def test_a_step_that_overflows_is_skipped_by_all(ranks_with_inf, settings):
    first = (False, True, 0, 512.0) if ranks_with_inf else (True, True, 1, 1024.0)
    second = (True, True, first[2] + 1, first[3])
    assert run_ranks(overflow, 2, ranks_with_inf, settings, backend='nccl') == [[first, second]] * 2
