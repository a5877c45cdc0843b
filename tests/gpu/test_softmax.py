"""The head's loss and gradients on a GPU, in each precision, against the formula in float64 on the CPU."""
import pytest
import torch

from pic_plugin.engine import WeightCorrectingOptimWrapper
from pic_plugin.functional.cosine_softmax import cosine_softmax_loss
from pic_plugin.models import CosineInstanceHead
from pic_plugin.sharding import Ranks

from . import needs_gpus

pytestmark = needs_gpus(1)

TEMPERATURE = 0.2
# precision of products, dtype of the features, and the largest relative error of the loss, of the rows' gradient and
# of the features' gradient, which is rounded to their dtype
CASES = {
    'float32': ('highest', torch.float32, 1e-5, 1e-5, 1e-5),
    'TF32': ('high', torch.float32, 1e-3, 1e-2, 1e-2),
    'bf16': ('highest', torch.bfloat16, 1e-5, 1e-5, 1e-2),
    'fp16': ('highest', torch.float16, 1e-5, 1e-5, 2e-3),
    'bf16 and TF32': ('high', torch.bfloat16, 1e-3, 1e-2, 2e-2),
}


def relative_error(got, want):
    return float((got.double().cpu() - want).norm() / want.norm())


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('num_rows, batch_size, margin, uniform', [
    (5000, 64, 0.0, 0.0), (70001, 512, 0.0, 0.0), (70001, 512, 0.35, 0.8)])
def test_loss_and_gradients(case, num_rows, batch_size, margin, uniform):
    precision, dtype, *limits = CASES[case]
    torch.set_float32_matmul_precision(precision)
    torch.manual_seed(0)
    head = CosineInstanceHead(num_negatives=None, in_channels=128, temperature=TEMPERATURE, margin=margin,
                              uniform_smoothing=uniform).cuda()
    wrapper = WeightCorrectingOptimWrapper(torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9))
    wrapper.track_rows(head.weight, Ranks())
    head.allocate_rows(num_rows, batch_size, wrapper, Ranks(), seed=0)
    head.weight.data.normal_()
    ids = torch.randperm(num_rows)[:batch_size]
    features = torch.randn(1, batch_size, 128, device='cuda').to(dtype).requires_grad_()
    scale = 2.0**16 if dtype == torch.float16 else 1.0  # as the gradient scaler's
    head.activate(ids)
    loss = head.loss(features, ids)
    (loss * scale).backward()

    x = features.detach().cpu().double()[0].requires_grad_()
    weight = head.weight.detach().cpu().double().requires_grad_()
    expected = cosine_softmax_loss(x, weight, ids, TEMPERATURE, margin, uniform)
    expected.backward()
    errors = (relative_error(loss.detach(), expected.detach()), relative_error(head.weight.grad / scale, weight.grad),
              relative_error(features.grad[0].double() / scale, x.grad))
    assert all(error < limit for error, limit in zip(errors, limits)), errors
