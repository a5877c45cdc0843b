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
    return [1.0] if num_labels == 1 else [0.8] + [0.2 / (num_labels - 1)] * (num_labels - 1)


def smoothed_loss(logits, classes, labels):
    """One-Million-Way, Eq. 3, for each sample."""
    y = torch.zeros_like(logits).scatter(1, classes, logits.new_tensor(labels).expand(classes.shape))
    return logits.logsumexp(1) - (logits + y.log()).logsumexp(1)


def full_logits(features, weight, cosine):
    return (cosine_logits if cosine else inner_product_logits)(features, weight, TEMPERATURE)


def samples(features, cosine):
    return (F.normalize(features, dim=1) if cosine else features) / TEMPERATURE


def on_a_rank(rank, world_size, cosine, chunk_rows, kept_bytes, num_labels):
    softmax._CHUNK_ROWS, softmax._KEPT_BYTES = chunk_rows, kept_bytes
    features, weight, classes = problem(num_labels)
    ranks = Ranks.of_world()
    block = block_of(rank, CLASSES, world_size)
    mine = features.view(world_size, -1, CHANNELS)[rank].clone().requires_grad_()
    rows = torch.cat([weight[block.start:block.stop], weight.new_zeros(1, CHANNELS)]).requires_grad_()  # one is empty
    active = torch.arange(len(rows)) < len(block)
    gathered = samples(gather_features(mine, ranks).flatten(0, 1), cosine)
    local = torch.where(block.contains(classes), classes - block.start, -1)
    losses = sharded_softmax_loss(gathered, rows, local, smooth_labels(num_labels), active, cosine, ranks)
    (losses * torch.arange(12)).sum().backward()
    assert rows.grad[-1].eq(0).all()
    return losses.detach(), mine.grad, rows.grad[:-1]


@pytest.mark.parametrize('world_size, cosine, chunk_rows, kept_bytes, num_labels', [
    (1, False, 2, 0, 1), (3, False, 2, 0, 1), (6, True, 4096, 1 << 20, 1),
    (1, True, 2, 0, 6), (2, True, 4096, 1 << 20, 6), (3, True, 2, 0, 6)])
def test_equals_the_loss_over_all_rows(monkeypatch, world_size, cosine, chunk_rows, kept_bytes, num_labels):
    for name in ('_CHUNK_ROWS', '_KEPT_BYTES'):  # what a single rank, which runs here, changes
        monkeypatch.setattr(softmax, name, getattr(softmax, name))
    features, weight, classes = problem(num_labels)
    features.requires_grad_()
    weight.requires_grad_()
    logits = full_logits(features, weight, cosine)
    expected = F.cross_entropy(logits, classes[:, 0], reduction='none')
    if num_labels > 1:
        expected = smoothed_loss(logits, classes, smooth_labels(num_labels))
    (expected * torch.arange(12)).sum().backward()

    results = run_ranks(on_a_rank, world_size, cosine, chunk_rows, kept_bytes, num_labels)
    for losses, _, _ in results:
        torch.testing.assert_close(losses, expected.detach(), rtol=0, atol=1e-12)
    # DistributedDataParallel averages over the ranks what comes back multiplied by their number
    feature_grad = torch.cat([grad for _, grad, _ in results]) / world_size
    torch.testing.assert_close(feature_grad, features.grad, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.cat([grad for *_, grad in results]), weight.grad, rtol=0, atol=1e-12)


@given(num_samples=st.integers(1, 9), num_rows=st.integers(1, 40), chunk_rows=st.integers(1, 12), keep=st.booleans(),
       cosine=st.booleans(), num_labels=st.integers(1, 5), share_active=st.sampled_from([None, 0.1, 0.6]),
       scale=st.sampled_from([1e-3, 1.0, 40.0]), seed=st.integers(0, 99))
def test_any_chunks_labels_and_active_rows(num_samples, num_rows, chunk_rows, keep, cosine, num_labels, share_active,
                                           scale, seed):
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
    if active is not None:
        logits = logits.masked_fill(~active, -torch.inf)
    expected = F.cross_entropy(logits, classes[:, 0], reduction='none')
    if num_labels > 1:
        expected = smoothed_loss(logits, classes, labels)
    slots = classes if active is None else classes.where(active[classes], -1)
    expected_grads = torch.autograd.grad((expected * scales).sum(), inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(softmax, '_CHUNK_ROWS', chunk_rows)
        patch.setattr(softmax, '_KEPT_BYTES', 1 << 30 if keep else 0)
        losses = sharded_softmax_loss(samples(features, cosine), weight, slots, labels, active, cosine,
                                      empty=Scratch().empty)
        torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-11)
        for _ in range(2):  # the second backward finds nothing kept
            grads = torch.autograd.grad((losses * scales).sum(), inputs, retain_graph=True)
            torch.testing.assert_close(grads, expected_grads, rtol=1e-9, atol=1e-11)


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


@pytest.mark.parametrize('dtype, tolerance', [(torch.bfloat16, 2e-2), (torch.float16, 3e-3)])
def test_half_precision_products_are_summed_up_in_full(dtype, tolerance):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(8, 32, generator=generator)
    weight = torch.randn(20000, 32, generator=generator, requires_grad=True)
    target = torch.randint(0, 20000, (8, 1), generator=generator)
    x = samples(features, True).requires_grad_()
    expected = sharded_softmax_loss(x, weight, target)
    half = x.detach().to(dtype).requires_grad_()
    losses = sharded_softmax_loss(half, weight, target)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, expected, rtol=tolerance, atol=0)
    # a sum of 20,000 exponentials in half precision would be off by far more
    want = torch.autograd.grad(expected.sum(), (x, weight))
    got = torch.autograd.grad(losses.sum(), (half, weight))
    assert got[0].dtype == dtype and got[1].dtype == torch.float32
    for a, b in zip(got, want):
        assert (a.float() - b).norm() < tolerance * b.norm()


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
