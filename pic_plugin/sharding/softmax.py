r"""The softmax over rows that are shared out over the ranks: loss and gradients in one piece, by hand.

"Train a One-Million-Way Instance Classifier", Hybrid Parallelism.  M = all ranks' samples, S_r = rank r's slots::

                    S_0     S_1     S_2
    samples of 0  |  .   |   .   |   .   |
    samples of 1  |  .   |   .   |   .   |   each rank holds one column of blocks: its own rows against all samples
    samples of 2  |  .   |   .   |   .   |

What crosses the network per step: the features there and their gradients back (M x D each), and four numbers per
sample: maximum and sum of exponentials, of all classes and of the labelled ones.  Rows and their gradients never do.

With :math:`x_i` a sample's features divided by the temperature, :math:`\hat w_j = w_j / |w_j|` a row's direction,
:math:`s_{ji} = \hat w_j \cdot x_i` and labels :math:`y_j^i` inside the logarithm (Eq. 3; Eq. 1 where the target alone
has a label), the loss is :math:`L = \sum_i \gamma_i (\log \sum_j \exp(s_{ji}) - \log \sum_j y_j^i \exp(s_{ji}))`.
With :math:`p_{ji} = \exp(s_{ji}) / \sum_k \exp(s_{ki})` and
:math:`q_{ji} = y_j^i \exp(s_{ji}) / \sum_k y_k^i \exp(s_{ki})` its gradients are

.. math::
    \frac{\partial L}{\partial s_{ji}} = \gamma_i (p_{ji} - q_{ji}), \qquad
    \frac{\partial L}{\partial x_i} = \sum_j \frac{\partial L}{\partial s_{ji}} \hat w_j, \qquad
    \frac{\partial L}{\partial w_j} = \frac{1}{|w_j|} (1 - \hat w_j \hat w_j^T)
        \sum_i \frac{\partial L}{\partial s_{ji}} x_i

Rows are taken a chunk at a time, so that what is computed from a chunk is still in the processor's cache when it is
used, and each row and each logit passes through memory as few times as possible.
"""
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor

from .ranks import Ranks

_CHUNK_ROWS = 4096  # of a CPU: their logits fit into its cache
_CHUNK_LOGITS = 1 << 26  # of an accelerator, which wants few and large pieces
_KEPT_BYTES = 1 << 28  # up to here exponentials are kept for the gradients; beyond, they are computed again
_NORM_EPS = 1e-12  # that of F.normalize


class _GatherFeatures(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, features: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks.all_gather(features)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return ctx.ranks.sum_scatter(grads[0]) * ctx.ranks.size, None


def gather_features(features: Tensor, ranks: Ranks) -> Tensor:
    """Features of all ranks, with the gradient of the loss over the *whole* batch.

    The backward sums what each rank's rows say about this rank's features, and multiplies by R, because
    DistributedDataParallel will divide the backbone's gradient by R when it averages over the ranks.

    Args:
        features: ``[...]``, of one shape on every rank.
        ranks: the ranks.

    Returns:
        Tensor: ``[R, ...]``.  Collectives: one all-gather forward, one reduce-scatter backward.
    """
    return _GatherFeatures.apply(features, ranks)


class _Problem(NamedTuple):
    """What the softmax is over; see :func:`sharded_softmax_loss`."""
    x: Tensor  # [M, D]
    weight: Tensor  # [S, D]
    active: Optional[Tensor]  # [S]
    cosine: bool

    def chunks(self) -> list[slice]:
        """The rows, a chunk at a time."""
        num_rows = len(self.weight)
        size = _CHUNK_ROWS if self.x.device.type == 'cpu' else max(1, _CHUNK_LOGITS // len(self.x))
        return [slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size)]

    def directions(self, rows: slice) -> tuple[Tensor, Optional[Tensor]]:
        """``[C, D]``, what a chunk of rows is compared by, and ``[C, 1]``, the rows' lengths if those do not count."""
        weight = self.weight[rows]
        if not self.cosine:
            return weight, None
        length = torch.linalg.vector_norm(weight, dim=1, keepdim=True).clamp_(min=_NORM_EPS)
        return weight / length, length

    def logits(self, rows: slice, directions: Tensor, out: Tensor) -> Tensor:
        """``[C, M]``, in ``out``."""
        logits = _product(directions, self.x.T, out)
        if self.active is not None:
            logits.masked_fill_(~self.active[rows, None], -torch.inf)
        return logits


class _Labelled(NamedTuple):
    """Which of a chunk's logits are labelled: E of them, no two of which are the same."""
    row: Tensor  # [E], in the chunk
    sample: Tensor  # [E]
    column: Tensor  # [E], of the labels


def _labelled(slots: Tensor, chunks: Sequence[slice], device: torch.device) -> list[_Labelled]:
    """For each chunk of rows, where in it the slots ``[M, L]`` are; sorted on the host, so that nothing waits."""
    rows, place = slots.flatten().sort()
    starts = torch.tensor([*(chunk.start for chunk in chunks), chunks[-1].stop])
    bounds = torch.searchsorted(rows, starts).tolist()
    rows, sample, column = (x.to(device) for x in (rows, place // slots.shape[1], place % slots.shape[1]))
    return [_Labelled(rows[i:j] - chunk.start, sample[i:j], column[i:j])
            for chunk, i, j in zip(chunks, bounds, bounds[1:])]


def _product(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """``a @ b``, in half precision if one of them is, with the result in that of ``out``."""
    if a.dtype == b.dtype == out.dtype:
        return torch.mm(a, b, out=out)
    low = min(a.dtype, b.dtype, key=lambda dtype: dtype.itemsize)
    return out.copy_(a.to(low) @ b.to(low))


class _ShardedSoftmaxLoss(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, slots: Tensor, labels: Sequence[float], active: Optional[Tensor],
                cosine: bool, ranks: Ranks, empty: Callable) -> Tensor:
        problem = _Problem(x, weight, active, cosine)
        chunks = problem.chunks()
        labelled_of = _labelled(slots, chunks, x.device)
        num_samples = len(x)
        keep = len(weight) * num_samples * weight.element_size() <= _KEPT_BYTES
        kept = empty((len(weight) if keep else chunks[0].stop, num_samples), weight)
        # the sum of exp(logit - maximum), where the maximum is that of the chunks so far
        maximum = weight.new_full((num_samples, ), torch.finfo(weight.dtype).min)
        total = weight.new_zeros(num_samples)
        labelled = weight.new_full(slots.shape, -torch.inf)  # logits of this rank's labelled classes
        maxima = []
        for rows, (row, sample, column) in zip(chunks, labelled_of):
            directions, _ = problem.directions(rows)
            logits = problem.logits(rows, directions, kept[rows if keep else slice(rows.stop - rows.start)])
            labelled[sample, column] = logits[row, sample]
            larger = torch.maximum(maximum, logits.amax(0))
            exponentials = logits.sub_(larger).exp_()
            total.mul_((maximum - larger).exp_()).add_(exponentials.sum(0))
            maximum = larger
            maxima.append(larger)
        labelled += weight.new_tensor(labels).log_()
        labelled_maximum = labelled.amax(1).clamp_(min=torch.finfo(weight.dtype).min)
        overall = ranks.max_(torch.stack([maximum, labelled_maximum]))
        total = total.mul_((maximum - overall[0]).exp_())
        labelled_total = (labelled - overall[1][:, None]).exp_().sum(1)
        log_sum, log_labelled = ranks.sum_(torch.stack([total, labelled_total])).log_().add_(overall)
        ctx.save_for_backward(x, weight, active)
        ctx.cosine, ctx.empty, ctx.labelled_of = cosine, empty, labelled_of
        ctx.log_sum, ctx.share = log_sum, labelled.sub_(log_labelled[:, None]).exp_()  # [M], and q [M, L]
        ctx.kept = (kept, maxima) if keep else None
        return log_sum - log_labelled

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, weight, active = ctx.saved_tensors
        problem = _Problem(x, weight, active, ctx.cosine)
        scale = grads[0].to(weight.dtype)
        labelled_grad = ctx.share * scale[:, None]
        # they are overwritten: a second backward computes them again
        exponentials, maxima = ctx.kept or (None, [])
        ctx.kept = None
        chunks = problem.chunks()
        if exponentials is None:
            scratch = ctx.empty((chunks[0].stop, len(x)), weight)
        weight_grad = ctx.empty(weight.shape, weight) if ctx.needs_input_grad[1] else None
        x_grad = torch.zeros_like(x, dtype=weight.dtype)
        for i, rows in enumerate(chunks):
            directions, length = problem.directions(rows)
            if exponentials is not None:
                logit_grad = exponentials[rows].mul_((maxima[i] - ctx.log_sum).exp_().mul_(scale))
            else:
                logit_grad = problem.logits(rows, directions, scratch[:rows.stop - rows.start])
                logit_grad.sub_(ctx.log_sum).exp_().mul_(scale)
            row, sample, column = ctx.labelled_of[i]
            logit_grad[row, sample] -= labelled_grad[sample, column]
            x_grad += _product(logit_grad.T, directions, x_grad.new_empty(x.shape))
            if weight_grad is not None:
                grad = _product(logit_grad, x, weight_grad[rows])
                if length is not None:  # along its own direction a row's length would change, which does not count
                    grad.addcmul_(directions, (directions * grad).sum(1, keepdim=True), value=-1).div_(length)
        return x_grad.to(x.dtype), weight_grad, None, None, None, None, None, None


def _new_empty(shape: Sequence[int], like: Tensor) -> Tensor:
    return like.new_empty(shape)


def sharded_softmax_loss(x: Tensor, weight: Tensor, slots: Tensor, labels: Sequence[float] = (1.0, ),
                         active: Optional[Tensor] = None, cosine: bool = True, ranks: Optional[Ranks] = None,
                         empty: Callable[[Sequence[int], Tensor], Tensor] = _new_empty) -> Tensor:
    """The softmax loss of each sample over the rows of all ranks, with labels inside the logarithm (Eq. 3).

    With one label of 1 equals ``F.cross_entropy(F.linear(x, F.normalize(weight, dim=1)), target, reduction='none')``,
    where ``weight`` are all ranks' rows, without ``F.normalize`` if not ``cosine``; and so do the gradients, of which
    each rank gets its rows' columns, and for ``x`` what its rows contribute.

    Args:
        x: ``[M, D]``, all ranks' samples: their features, divided by the temperature.  In half precision the products
            with ``x`` are computed in that, and summed up in the precision of ``weight``.
        weight: ``[S_r, D]`` with S_r >= 1, this rank's rows, float32 or float64.
        slots: ``[M, L]`` int64 on the CPU, the rows of each sample's L labelled classes, none twice; -1 where a class
            is another rank's, or there are fewer.
        labels: L of them, y in Eq. 2, the same for each sample; positive.
        active: ``[S_r]`` bool, the rows that take part; None for all.
        cosine: whether only the direction of a row counts.
        ranks: the ranks; one if None.
        empty: where memory for a step's large tensors comes from.

    Returns:
        Tensor: ``[M]``, in the dtype of ``weight``, the same on every rank; infinite for a sample without any label.
        Collectives: two all-reduces forward, none backward.
    """
    return _ShardedSoftmaxLoss.apply(x, weight, slots, labels, active, cosine, ranks or Ranks(), empty)
