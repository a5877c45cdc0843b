import math

import pytest
import torch

from pic_plugin.functional.cosine_softmax import cosine_softmax_loss, inner_product_logits, smoothed_cosine_softmax_loss


def naive_loss(features, weight, target, temperature):
    """Eq. 1, as it stands."""

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))

    total = 0.0
    for z, i in zip(features.tolist(), target.tolist()):
        exponentials = [math.exp(cosine(w, z) / temperature) for w in weight.tolist()]
        total -= math.log(exponentials[i] / sum(exponentials))
    return total / len(features)


@pytest.mark.parametrize('temperature', [0.2, 1.0])
def test_equation_1(temperature):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(5, 7, dtype=torch.float64, generator=generator)
    weight = torch.randn(11, 7, dtype=torch.float64, generator=generator) * 3
    target = torch.tensor([0, 10, 3, 3, 7])
    loss = cosine_softmax_loss(features, weight, target, temperature)
    assert loss.item() == pytest.approx(naive_loss(features, weight, target, temperature), abs=1e-12)


def test_gradients():
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(3, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    weight = torch.randn(5, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    target = torch.tensor([1, 1, 4])
    assert torch.autograd.gradcheck(lambda z, w: cosine_softmax_loss(z, w, target, 0.3), (features, weight))


def test_plain_softmax_logits():
    features, weight = torch.randn(3, 4), torch.randn(5, 4)
    torch.testing.assert_close(inner_product_logits(features, weight, 0.5), features @ weight.T / 0.5)


def naive_smoothed_loss(features, weight, target, hardest, smoothing, temperature, margin, uniform):
    """One-Million-Way, Eq. 2 and 3, as they stand; with CosFace's Eq. 4 and each label shared out."""
    total = 0.0
    for z, i, hard in zip(features.tolist(), target.tolist(), hardest.tolist()):
        z_length = math.sqrt(sum(x * x for x in z))
        exponentials = []
        for j, w in enumerate(weight.tolist()):
            cosine = sum(x * y for x, y in zip(w, z)) / math.sqrt(sum(x * x for x in w)) / z_length
            exponentials.append(math.exp((cosine - margin * (j == i)) / temperature))
        y = [1 - smoothing if j == i else smoothing / len(hard) if j in hard else 0 for j in range(len(weight))]
        total -= (1 - uniform) * math.log(sum(a * b for a, b in zip(y, exponentials)) / sum(exponentials))
        total -= sum(uniform / len(weight) * math.log(a / sum(exponentials)) for a in exponentials)
    return total / len(features)


@pytest.mark.parametrize('margin, uniform', [(0.0, 0.0), (0.35, 0.0), (0.0, 0.8), (0.2, 0.3)])
@pytest.mark.parametrize('smoothing', [0.0, 0.2, 0.9])
def test_equation_3_margin_and_uniform_smoothing(smoothing, margin, uniform):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(5, 7, dtype=torch.float64, generator=generator)
    weight = torch.randn(11, 7, dtype=torch.float64, generator=generator) * 3
    target = torch.tensor([0, 10, 3, 3, 7])
    hardest = torch.tensor([[1, 4, 9], [0, 9, 5], [2, 4, 10], [0, 1, 2], [8, 6, 5]])
    loss = smoothed_cosine_softmax_loss(features, weight, target, hardest, smoothing, 0.15, margin, uniform)
    expected = naive_smoothed_loss(features, weight, target, hardest, smoothing, 0.15, margin, uniform)
    assert loss.item() == pytest.approx(expected, abs=1e-12)
    if not smoothing:
        assert loss.item() == pytest.approx(
            cosine_softmax_loss(features, weight, target, 0.15, margin, uniform).item(), abs=1e-12)
