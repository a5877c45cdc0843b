import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from pic_plugin.functional.cosine_softmax import cosine_logits, inner_product_logits
from pic_plugin.rows.scratch import Scratch
from pic_plugin.sharding import Ranks, block_of, gather_features, sharded_softmax_loss, softmax
from tests.ranks import run_ranks

SAMPLES_PER_RANK, CLASSES, CHANNELS, TEMPERATURE = 4, 10, 6, 0.3


def problem(num_labels=1):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(12, CHANNELS, dtype=torch.float64, generator=generator)
    weight = torch.randn(CLASSES, CHANNELS, dtype=torch.float64, generator=generator)
    return features, weight, some_classes(12, CLASSES, num_labels, generator)


def some_classes(num_samples, num_rows, num_labels, generator):
    """For each sample, as many different rows."""
    return torch.rand(num_samples, num_rows, generator=generator).topk(num_labels).indices


def smooth_labels(num_labels):
    """0.8 for the first, the rest for the others."""
    if num_labels == 1:
        return None
    return torch.tensor([0.8] + [0.2 / (num_labels - 1)] * (num_labels - 1), dtype=torch.float64)


def expected_losses(logits, classes, margin=0.0, uniform_smoothing=0.0):
    """Of each sample: cross-entropy, or with several labels One-Million-Way, Eq. 3; logits of -inf are not there."""
    logits = logits - F.one_hot(classes[:, 0], logits.shape[1]).to(logits) * margin
    labels = smooth_labels(classes.shape[1])
    if labels is None:
        losses = F.cross_entropy(logits, classes[:, 0], reduction='none')
    else:
        y = torch.zeros_like(logits).scatter(1, classes, labels.expand(classes.shape))
        losses = logits.logsumexp(1) - (logits + y.log()).logsumexp(1)
    there = logits > -torch.inf
    of_all = (logits.logsumexp(1, True) - logits).where(there, 0).sum(1) / there.sum(1)
    return (1 - uniform_smoothing) * losses + uniform_smoothing * of_all


def full_logits(features, weight, cosine):
    return (cosine_logits if cosine else inner_product_logits)(features, weight, TEMPERATURE)


def samples(features, cosine):
    return (F.normalize(features, dim=1) if cosine else features) / TEMPERATURE


def on_a_rank(rank, world_size, cosine, chunk_rows, kept_bytes, num_labels, max_logit, margin, uniform):
    softmax._CHUNK_ROWS, softmax._KEPT_BYTES = chunk_rows, kept_bytes
    features, weight, classes = problem(num_labels)
    ranks = Ranks.of_world()
    block = block_of(rank, CLASSES, world_size)
    mine = features.view(world_size, -1, CHANNELS)[rank].clone().requires_grad_()
    rows = torch.cat([weight[block.start:block.stop], weight.new_zeros(1, CHANNELS)]).requires_grad_()  # one is empty
    active = torch.arange(len(rows)) < len(block)
    gathered = samples(gather_features(mine, ranks, rows.dtype).flatten(0, 1), cosine)
    local = torch.where(block.contains(classes), classes - block.start, -1)
    losses = sharded_softmax_loss(gathered, rows, local, smooth_labels(num_labels), active, cosine, max_logit, ranks,
                                  margin, uniform)
    (losses * torch.arange(12)).sum().backward()
    assert rows.grad[-1].eq(0).all()
    return losses.detach(), mine.grad, rows.grad[:-1]


@pytest.mark.parametrize('world_size, cosine, chunk_rows, kept_bytes, num_labels, max_logit, margin, uniform', [
    (1, False, 2, 0, 1, None, 0.0, 0.0), (3, False, 2, 0, 1, None, 0.0, 0.8),
    (6, True, 4096, 1 << 20, 1, 1 / TEMPERATURE, 0.0, 0.0), (1, True, 2, 0, 6, 1 / TEMPERATURE, 1.5, 0.1),
    (2, True, 4096, 1 << 20, 6, None, 0.0, 0.0), (3, True, 2, 0, 6, 1 / TEMPERATURE, 0.0, 0.0),
    (2, True, 2, 0, 1, 1 / TEMPERATURE, 1.5, 0.0), (3, True, 4096, 1 << 20, 6, 1 / TEMPERATURE, 0.7, 0.3)])
def test_equals_the_loss_over_all_rows(monkeypatch, world_size, cosine, chunk_rows, kept_bytes, num_labels, max_logit,
                                       margin, uniform):
    for name in ('_CHUNK_ROWS', '_KEPT_BYTES'):  # what a single rank, which runs here, changes
        monkeypatch.setattr(softmax, name, getattr(softmax, name))
    features, weight, classes = problem(num_labels)
    features.requires_grad_()
    weight.requires_grad_()
    logits = full_logits(features, weight, cosine)
    expected = expected_losses(logits, classes, margin, uniform)
    (expected * torch.arange(12)).sum().backward()

    results = run_ranks(on_a_rank, world_size, cosine, chunk_rows, kept_bytes, num_labels, max_logit, margin, uniform)
    for losses, _, _ in results:
        torch.testing.assert_close(losses, expected.detach(), rtol=0, atol=1e-12)
    # DistributedDataParallel averages over the ranks what comes back multiplied by their number
    feature_grad = torch.cat([grad for _, grad, _ in results]) / world_size
    torch.testing.assert_close(feature_grad, features.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.cat([grad for *_, grad in results]), weight.grad, rtol=0, atol=1e-12)


@given(num_samples=st.integers(1, 9), num_rows=st.integers(1, 40), chunk_rows=st.integers(1, 12), keep=st.booleans(),
       cosine=st.booleans(), num_labels=st.integers(1, 5), share_active=st.sampled_from([None, 0.1, 0.6]),
       scale=st.sampled_from([1e-3, 1.0, 40.0]), bounded=st.booleans(), margin=st.sampled_from([0.0, 2.0]),
       uniform=st.sampled_from([0.0, 0.8]), seed=st.integers(0, 99))
def test_any_chunks_labels_and_active_rows(num_samples, num_rows, chunk_rows, keep, cosine, num_labels, share_active,
                                           scale, bounded, margin, uniform, seed):
    generator = torch.Generator().manual_seed(seed)
    # logits of up to 40 * 40 * 5: exponentials overflow unless the maximum is taken off
    features, weight = (scale * torch.randn(n, CHANNELS, dtype=torch.float64, generator=generator)
                        for n in (num_samples, num_rows))
    num_labels = min(num_labels, num_rows)
    classes = some_classes(num_samples, num_rows, num_labels, generator)
    labels = smooth_labels(num_labels)
    scales = torch.randn(num_samples, dtype=torch.float64, generator=generator)
    active = None
    if share_active is not None:
        active = torch.rand(num_rows, generator=generator) < share_active
        active[classes[:, 0]] = True
    inputs = [features.requires_grad_(), weight.requires_grad_()]
    logits = full_logits(features, weight, cosine)
    max_logit = logits.abs().max().item() if bounded else None
    if active is not None:
        logits = logits.masked_fill(~active, -torch.inf)
    expected = expected_losses(logits, classes, margin, uniform)
    slots = classes if active is None else classes.where(active[classes], -1)
    expected_grads = torch.autograd.grad((expected * scales).sum(), inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(softmax, '_CHUNK_ROWS', chunk_rows)
        patch.setattr(softmax, '_KEPT_BYTES', 1 << 30 if keep else 0)
        losses = sharded_softmax_loss(samples(features, cosine), weight, slots, labels, active, cosine, max_logit,
                                      None, margin, uniform, empty=Scratch().empty)
        torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-11)
        grads = torch.autograd.grad((losses * scales).sum(), inputs, retain_graph=True)
        torch.testing.assert_close(grads, expected_grads, rtol=1e-9, atol=1e-11)
        again = torch.autograd.grad((losses * scales).sum(), inputs)
    assert all(map(torch.equal, grads, again))


def test_two_losses_before_a_backward():
    """As with multi-crop: the memory of one is not given to the other."""
    features, weight, target = problem()
    weight.requires_grad_()
    scratch = Scratch()

    def both(loss):
        total = loss(features[:6], weight, target[:6]) + 2 * loss(features[6:], weight, target[6:])
        return torch.autograd.grad(total, weight)[0]

    got = both(lambda f, w, t: sharded_softmax_loss(samples(f, True), w, t, empty=scratch.empty).sum())
    want = both(lambda f, w, t: F.cross_entropy(full_logits(f, w, True), t[:, 0], reduction='sum'))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize('dtype, num_samples, num_rows', [
    (torch.float16, 64, 1 << 18), (torch.float16, 4096, 4096), (torch.bfloat16, 64, 4096)])
def test_half_precision_features(dtype, num_samples, num_rows):
    """Against float64 with the same half features, as norms, at loss scales of 1 to 2^16.

    With u = 2^-24, the unit roundoff of float32, the D products of a logit can at worst add D u / tau to it, so loss
    and gradients may be off by 2 D u / tau (numerator and denominator): 2e-5.  The loss scale only multiplies the rows'
    gradient.  The features' gradient is rounded to their precision once, with the loss scale in it: by half an eps,
    2^-11 or 2^-8, and below the smallest normal number by half a step, 2^-25 in float16.
    """
    channels, temperature = 32, 0.2
    generator = torch.Generator().manual_seed(0)
    half = torch.randn(num_samples, channels, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(num_rows, channels, generator=generator, requires_grad=True)
    target = torch.randint(0, num_rows, (num_samples, 1), generator=generator)
    exact = [tensor.detach().double().requires_grad_() for tensor in (half, weight)]
    expected = F.cross_entropy(cosine_logits(*exact, temperature), target[:, 0])
    want_features, want_rows = torch.autograd.grad(expected, exact)

    x = F.normalize(gather_features(half, Ranks(), weight.dtype)[0], dim=1) / temperature
    loss = sharded_softmax_loss(x, weight, target, max_logit=1 / temperature).mean()
    bound, half_precision = 2 * channels * 2 ** -24 / temperature, torch.finfo(dtype)
    assert abs(loss.item() - expected.item()) < bound
    others = torch.ones(num_rows, dtype=torch.bool).index_fill(0, target[:, 0], False)
    unscaled = None
    for scale in (1, 2 ** 4, 2 ** 10, 2 ** 16):
        features_grad, rows_grad = torch.autograd.grad(loss * scale, (half, weight), retain_graph=True)
        assert features_grad.dtype == dtype and rows_grad.dtype == torch.float32
        unscaled = rows_grad if unscaled is None else unscaled
        assert torch.equal(rows_grad / scale, unscaled)
        allowed = (half_precision.eps / 2 + bound) * want_features.norm()
        allowed += half_precision.smallest_normal * half_precision.eps / 2 / scale * half.numel() ** 0.5
        assert (features_grad.double() / scale - want_features).norm() < allowed
    for rows in (others, ~others):  # those of the labelled rows are far larger
        assert (unscaled[rows] - want_rows[rows]).norm() < bound * want_rows[rows].norm()


@pytest.mark.parametrize('keep', [True, False])
@pytest.mark.parametrize('times_bound', [0.999, 1.001])
def test_logits_as_large_as_they_may_be(monkeypatch, times_bound, keep):
    """To one sample all rows are opposite, to another all are alike: exponentials of e^-44 and e^44."""
    monkeypatch.setattr(softmax, '_KEPT_BYTES', 1 << 30 if keep else 0)
    maxima = []
    monkeypatch.setattr(Ranks, 'max_', lambda self, tensor: maxima.append(tensor) or tensor)
    max_logit = times_bound * math.log(torch.finfo(torch.float32).max) / 2
    generator = torch.Generator().manual_seed(0)
    one, other = F.normalize(torch.randn(2, CHANNELS, generator=generator), dim=1)
    x = torch.stack([one, -one, other]) * max_logit
    weight = -one * (0.1 + torch.rand(1000, 1, generator=generator))
    target = torch.tensor([[0], [1], [2]])
    exact = [tensor.double().requires_grad_() for tensor in (x, weight)]
    expected = F.cross_entropy(F.linear(exact[0], F.normalize(exact[1], dim=1)), target[:, 0], reduction='none')
    inputs = [x.requires_grad_(), weight.requires_grad_()]
    losses = sharded_softmax_loss(x, weight, target, max_logit=max_logit)
    assert len(maxima) == (times_bound > 1)
    torch.testing.assert_close(losses.double(), expected, rtol=1e-5, atol=0)
    for got, want in zip(torch.autograd.grad(losses.sum(), inputs), torch.autograd.grad(expected.sum(), exact)):
        torch.testing.assert_close(got.double(), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('length, max_logit', [(5, 5.0), (1000, None)])
def test_all_rows_but_two_inactive(length, max_logit):
    """The others may not even be rounded away: their exponentials would be 10^6 times as large, and more."""
    generator = torch.Generator().manual_seed(0)
    direction = F.normalize(torch.randn(1, CHANNELS, generator=generator), dim=1)
    x = direction * length
    weight = direction * torch.randn(50000, 1, generator=generator).abs()
    weight[[7, 49999]] = torch.randn(2, CHANNELS, generator=generator) - 8 * direction
    active = torch.zeros(50000, dtype=torch.bool).index_fill(0, torch.tensor([7, 49999]), True)
    inputs = [x.requires_grad_(), weight.requires_grad_()]
    losses = sharded_softmax_loss(x, weight, torch.tensor([[49999]]), None, active, True, max_logit)
    expected = F.cross_entropy(F.linear(x, F.normalize(weight[active], dim=1)), torch.tensor([1]), reduction='none')
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=0)
    grads = torch.autograd.grad(losses.sum(), inputs)
    torch.testing.assert_close(grads, torch.autograd.grad(expected.sum(), inputs), rtol=1e-4, atol=1e-5)
    assert not grads[1][~active].any()


@pytest.mark.parametrize('keep', [True, False])
@pytest.mark.parametrize('max_logit', [1 / TEMPERATURE, None])
@pytest.mark.parametrize('uniform', [0.0, 0.3])
def test_a_sample_without_labels(monkeypatch, uniform, max_logit, keep):
    """Its loss is infinite; left out, it leaves nothing behind."""
    monkeypatch.setattr(softmax, '_KEPT_BYTES', 1 << 30 if keep else 0)
    features, weight, classes = problem(3)
    inputs = [features.requires_grad_(), weight.requires_grad_()]
    slots = classes.index_fill(0, torch.tensor([5]), -1)
    there = torch.arange(12) != 5
    losses = sharded_softmax_loss(samples(features, True), weight, slots, smooth_labels(3), max_logit=max_logit,
                                  margin=0.5, uniform_smoothing=uniform)
    expected = expected_losses(full_logits(features, weight, True), classes, 0.5, uniform)[there]
    assert losses[5] == torch.inf
    torch.testing.assert_close(losses[there], expected, rtol=0, atol=1e-12)
    grads = torch.autograd.grad(losses.where(there, 0).sum(), inputs)
    torch.testing.assert_close(grads, torch.autograd.grad(expected.sum(), inputs), rtol=0, atol=1e-12)


def summed_over_ranks(rank, world_size):
    features = torch.zeros(2, dtype=torch.float16, requires_grad=True)
    gathered = gather_features(features, Ranks.of_world(), torch.float32)
    assert gathered.dtype == torch.float32
    # in half precision 60,000 twice is infinite, and 2,048 and 1 are 2,048
    gathered.backward(torch.tensor([[60000., 2048.], [60000., 1.], [-100000., 1.]])[rank].expand(world_size, 2))
    return features.grad


def test_half_gradients_are_summed_in_full():
    for grad in run_ranks(summed_over_ranks, 3):
        assert grad.dtype == torch.float16 and torch.equal(grad, torch.tensor([60000., 3 * 2050.]).half())


@pytest.mark.parametrize('kept_bytes', [1 << 30, 0])
@pytest.mark.parametrize('max_logit', [5.0, None])
@pytest.mark.parametrize('margin, uniform', [(0.0, 0.0), (1.0, 0.1)])
def test_the_host_needs_no_value(monkeypatch, margin, uniform, max_logit, kept_bytes):
    """An accelerator is not waited for: all goes through on the device whose tensors have no values to wait for."""
    monkeypatch.setattr(softmax, '_kept_bytes', lambda device: kept_bytes)
    monkeypatch.setattr(softmax, '_CHUNK_LOGITS', 100)
    features = torch.empty(12, CHANNELS, dtype=torch.float16, device='meta', requires_grad=True)
    weight = torch.empty(30, CHANNELS, device='meta', requires_grad=True)
    x = gather_features(features, Ranks(), weight.dtype)[0]
    slots, labels = torch.empty(12, 3, dtype=torch.int64, device='meta'), torch.empty(3, device='meta')
    active = torch.empty(30, dtype=torch.bool, device='meta')
    losses = sharded_softmax_loss(x, weight, slots, labels, active, True, max_logit, None, margin, uniform)
    grads = torch.autograd.grad(losses.sum(), (features, weight))
    assert [(grad.shape, grad.dtype) for grad in grads] == [(t.shape, t.dtype) for t in (features, weight)]


def test_what_is_kept_grows_with_the_device(monkeypatch):
    properties = SimpleNamespace(total_memory=80 << 30)
    monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda device: properties)
    kept = {device: softmax._kept_bytes(torch.device(device)) for device in ('cpu', 'cuda:0', 'meta')}
    assert kept == {'cpu': 256 << 20, 'cuda:0': 5 << 30, 'meta': 4 << 30}


def collectives(rank, world_size):
    ranks = Ranks.of_world()
    value = torch.tensor([rank, 10])
    for_each = value + torch.arange(world_size)[:, None]
    return (ranks.all_gather(value), ranks.sum_(value.clone()), ranks.max_(value.clone()),
            ranks.broadcast_int(rank + 7), ranks.sum_scatter(for_each), ranks.all_gather_object({'rank': rank}),
            ranks.sum_on_this_machine(rank + 1), ranks.all_to_all(for_each))


@pytest.mark.parametrize('world_size', [1, 3])
def test_ranks(world_size):
    for rank, results in enumerate(run_ranks(collectives, world_size)):
        gathered, total, maximum, broadcast, scattered, objects, of_machine, from_each = results
        assert from_each.tolist() == [[other + rank, 10 + rank] for other in range(world_size)]
        assert scattered.tolist() == [sum(range(world_size)) + rank * world_size, (10 + rank) * world_size]
        assert objects == [{'rank': rank} for rank in range(world_size)]
        assert of_machine == sum(range(1, world_size + 1))
        assert gathered.tolist() == [[rank, 10] for rank in range(world_size)]
        assert total.tolist() == [sum(range(world_size)), 10 * world_size]
        assert maximum.tolist() == [world_size - 1, 10]
        assert broadcast == 7
