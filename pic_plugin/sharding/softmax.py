r"""The softmax over rows that are shared out over the ranks: loss and gradients in one piece, by hand.

"Train a One-Million-Way Instance Classifier", Hybrid Parallelism.  M = all ranks' samples, S_r = rank r's slots::

                    S_0     S_1     S_2
    samples of 0  |  .   |   .   |   .   |
    samples of 1  |  .   |   .   |   .   |   each rank holds one column of blocks: its own rows against all samples
    samples of 2  |  .   |   .   |   .   |

What crosses the network per step: the features there and their gradients back (M x D each), and two numbers per
sample: the sum of exponentials of all classes and that of the labelled ones (for uniform smoothing also the sum of
logits and the number of classes).  Rows and their gradients never do.

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

Both gradients are products with one matrix, which differs from the exponentials in the labelled places only: with
:math:`T_i = \sum_j \exp(s_{ji})` and :math:`c_i = \gamma_i / T_i`,

.. math::
    g_{ji} = \exp(s_{ji}) - q_{ji} T_i, \qquad \frac{\partial L}{\partial x_i} = c_i \sum_j g_{ji} \hat w_j, \qquad
    \sum_i \frac{\partial L}{\partial s_{ji}} x_i = \sum_i g_{ji} \, c_i x_i

Two terms may be added.  A margin is taken off a sample's logit of its own class, wherever that logit stands: its
gradient is as before.  Uniform smoothing makes the loss

.. math::
    \sum_i \gamma_i \Big(\log \sum_j \exp(s_{ji}) - (1 - \epsilon) \log \sum_j y_j^i \exp(s_{ji})
        - \frac{\epsilon}{K} \sum_j s_{ji}\Big)

over K classes.  The sum of a sample's logits is its product with the sum of all rows' directions, and its gradients are
products of a vector with a vector, so that no logit passes through memory for it:

.. math::
    \sum_j s_{ji} = \big(\sum_j \hat w_j\big) \cdot x_i, \qquad
    \frac{\partial L}{\partial x_i} = \dots - \gamma_i \frac{\epsilon}{K} \sum_j \hat w_j, \qquad
    \sum_i \frac{\partial L}{\partial s_{ji}} x_i = \dots - \frac{\epsilon}{K} \sum_i \gamma_i x_i

Cosines divided by a temperature are bounded, and so are their exponentials.  Where there is no bound, or too large a
one, the largest logit of each sample is subtracted from its logits, for which these pass through memory again, and are
computed again where they are not kept.

Rows are taken a chunk at a time, so that what is computed from a chunk is still in the processor's cache when it is
used, and each row and each logit passes through memory as few times as possible.  An accelerator is never waited for.
"""
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Optional

import torch
from torch import Tensor

from .ranks import Ranks

_CHUNK_ROWS = 4096  # of a CPU: their logits fit into its cache
_CHUNK_LOGITS = 1 << 26  # of an accelerator, which wants few and large pieces
_KEPT_BYTES = 1 << 28  # of a CPU: up to here exponentials are kept for the gradients; beyond, they are computed again
_NORM_EPS = 1e-12  # that of F.normalize


class _GatherFeatures(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, features: Tensor, ranks: Ranks, dtype: torch.dtype) -> Tensor:
        ctx.ranks, ctx.dtype = ranks, features.dtype
        return ranks.all_gather(features).to(dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return (ctx.ranks.sum_scatter(grads[0]) * ctx.ranks.size).to(ctx.dtype), None, None


def gather_features(features: Tensor, ranks: Ranks, dtype: torch.dtype) -> Tensor:
    """Features of all ranks, with the gradient of the loss over the *whole* batch.

    The backward sums what each rank's rows say about this rank's features, and multiplies by R, because
    DistributedDataParallel will divide the backbone's gradient by R when it averages over the ranks.

    Args:
        features: ``[...]``, of one shape on every rank.
        ranks: the ranks.
        dtype: of the result.  Features travel in their own dtype, their gradients in this one: they are rounded to the
            features' only when they have been summed up.

    Returns:
        Tensor: ``[R, ...]``.  Collectives: one all-gather forward, one reduce-scatter backward.
    """
    return _GatherFeatures.apply(features, ranks, dtype)


def _kept_bytes(device: torch.device) -> int:
    """How many bytes of exponentials are kept for the gradients."""
    if device.type == 'cpu':
        return _KEPT_BYTES
    if device.type == 'cuda':
        return torch.cuda.get_device_properties(device).total_memory // 16
    return 1 << 32


def _is_bounded(max_logit: Optional[float], dtype: torch.dtype) -> bool:
    """Whether exponentials need no maximum taken off: if max_logit is at most log(largest number) / 2.

    That is 44.4 in float32, where exp(44.4) = 2^64: 2^63 such rows do not overflow, with a factor of 2 left for the
    rounding of the logits; and exp(-44.4) = 2^-64 is far from underflow, as are gradients divided by the sum.
    """
    return max_logit is not None and max_logit <= math.log(torch.finfo(dtype).max) / 2


class _Problem(NamedTuple):
    """What the softmax is over; see :func:`sharded_softmax_loss`."""
    x: Tensor  # [M, D]
    weight: Tensor  # [S, D]
    places: Tensor  # [L, M], the slots
    active: Optional[Tensor]  # [S]
    cosine: bool
    bounded: bool
    margin: float

    def chunks(self) -> list[slice]:
        """The rows, a chunk at a time."""
        num_rows = len(self.weight)
        size = _CHUNK_ROWS if self.x.device.type == 'cpu' else max(1, _CHUNK_LOGITS // len(self.x))
        return [slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size)]

    def directions(self, rows: slice) -> tuple[Tensor, Optional[Tensor]]:
        """``[C, D]``, what a chunk of rows is compared by, and ``[C, 1]``, what the rows were multiplied by for it.

        A row that is not active is multiplied by 0: it adds nothing to the features' gradient, nor does it get one.
        """
        weight = self.weight[rows]
        scale = None if self.active is None else self.active[rows, None].to(weight.dtype)
        if self.cosine:
            length = torch.linalg.vector_norm(weight, dim=1, keepdim=True).clamp_(min=_NORM_EPS)
            scale = length.reciprocal_() if scale is None else scale.div_(length)
        return weight if scale is None else weight * scale, scale

    def logits(self, rows: slice, directions: Tensor, out: Tensor) -> Tensor:
        """``[C, M]``, in ``out``; 0 where a row is not active, or -inf where nothing bounds the others."""
        logits = torch.mm(directions, self.x.T, out=out)
        if self.margin:
            inside, place = self._places_in(rows)
            logits.scatter_add_(0, place[:1], inside[:1].to(logits.dtype).mul_(-self.margin))
        if self.active is not None and not self.bounded:
            logits.masked_fill_(~self.active[rows, None], -torch.inf)
        return logits

    def sum(self, rows: slice, exponentials: Tensor) -> Tensor:
        """``[M]``, over the active rows of the chunk."""
        if self.active is None:
            return exponentials.sum(0)
        return torch.mv(exponentials.T, self.active[rows].to(exponentials.dtype))

    def pick(self, rows: slice, logits: Tensor, labelled: Tensor) -> Tensor:
        """``[L, M]``: ``labelled``, with the logits of the labelled classes in this chunk."""
        inside, place = self._places_in(rows)
        return torch.where(inside, logits.gather(0, place), labelled)

    def add_labelled_(self, rows: slice, matrix: Tensor, values: Tensor) -> None:
        """Add ``values[L, M]`` to the ``matrix[C, M]`` of a chunk, in the places of labelled classes."""
        inside, place = self._places_in(rows)
        matrix.scatter_add_(0, place, values.masked_fill(~inside, 0))

    def _places_in(self, rows: slice) -> tuple[Tensor, Tensor]:
        """Which of ``places`` are in a chunk of rows, and where in it; the others somewhere, for lack of a place."""
        place = self.places - rows.start
        clamped = place.clamp(0, rows.stop - rows.start - 1)
        return place == clamped, clamped


class _ShardedSoftmaxLoss(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, slots: Tensor, labels: Optional[Tensor],
                active: Optional[Tensor], cosine: bool, max_logit: Optional[float], margin: float,
                uniform_smoothing: float, ranks: Ranks, empty: Callable) -> Tensor:
        if max_logit is not None:
            max_logit += margin
        problem = _Problem(x, weight, slots.T.contiguous(), active, cosine, _is_bounded(max_logit, weight.dtype),
                           margin)
        chunks, num_samples = problem.chunks(), len(x)
        # one piece of memory: it holds logits, then their exponentials, and, if kept, the matrix g of the backward.
        # If it is not kept, it has room for one chunk, which each chunk overwrites
        keep = len(weight) * num_samples * weight.element_size() <= _kept_bytes(x.device)
        memory = empty((len(weight) if keep else chunks[0].stop, num_samples), weight)

        def logits_of(rows: slice, directions: Tensor) -> Tensor:
            return problem.logits(rows, directions, memory[rows if keep else slice(rows.stop - rows.start)])

        total, maximum_of_chunks, direction_sums = weight.new_zeros(num_samples), [], []
        labelled = weight.new_full(problem.places.shape, -torch.inf)  # logits of this rank's labelled classes
        for rows in chunks:
            directions, _ = problem.directions(rows)
            if uniform_smoothing:
                direction_sums.append(directions.sum(0))
            logits = logits_of(rows, directions)
            labelled = problem.pick(rows, logits, labelled)  # copied before the logits are overwritten
            if problem.bounded:
                total += problem.sum(rows, logits.exp_())  # in place: memory has exponentials from here on
            else:
                maximum_of_chunks.append(logits.amax(0))
        maxima = None
        if not problem.bounded:  # [2, M], of all active classes, and of the labelled ones; finite if there are none
            maxima = torch.stack([torch.stack(maximum_of_chunks).amax(0), labelled.amax(0)])
            ranks.max_(maxima.clamp_(min=torch.finfo(weight.dtype).min))
            for rows in chunks:  # again: the sum can only be made once the largest logit of all ranks is known
                logits = memory[rows] if keep else logits_of(rows, problem.directions(rows)[0])
                total += problem.sum(rows, logits.sub_(maxima[0]).exp_())
            labelled.sub_(maxima[1])
        labelled.exp_()  # 0 where the class is another rank's, whose logit is -inf here
        if labels is not None:
            labelled *= labels[:, None]
        sums = [total, labelled.sum(0)]
        if uniform_smoothing:
            direction_sum = torch.stack(direction_sums).sum(0)  # [D]
            num_active = weight.new_full((), len(weight)) if active is None else active.sum().to(weight.dtype)
            sums += [torch.mv(x, direction_sum), num_active.expand(num_samples)]
        totals = ranks.sum_(torch.stack(sums))  # of all ranks, by one all-reduce
        # what the labels take off: -q T; nan for a sample without any label, which has no place to take it off.
        # It overwrites labelled, of which the sums are made already
        taken = labelled.div_(totals[1]).mul_(totals[0]).mul_(uniform_smoothing - 1)
        if keep:  # exponentials become g = exp(s) - q T, which is all that the backward needs
            problem.add_labelled_(slice(0, len(weight)), memory, taken)
        log_totals = totals[:2].log()
        if maxima is not None:
            log_totals.add_(maxima)
        # log_totals: [2, M], log of the sum over all classes, and over the labelled ones; the loss is the difference
        share: Optional[Tensor] = None  # [M], of a sample's label, what each class has of it
        pull: Optional[Tensor] = None  # [D]
        if uniform_smoothing:
            share = uniform_smoothing / totals[3]
            pull = share[0] * direction_sum
            log_totals[1].mul_(1 - uniform_smoothing).add_(share * (totals[2] - margin))
        ctx.save_for_backward(x, weight, problem.places, active, totals[0], maxima, taken, memory if keep else None,
                              share, pull)
        ctx.problem, ctx.empty = problem[4:], empty
        return log_totals[0] - log_totals[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, weight, places, active, total, maxima, taken, kept, share, pull = ctx.saved_tensors
        problem = _Problem(x, weight, places, active, *ctx.problem)
        chunks = problem.chunks()
        memory = ctx.empty((chunks[0].stop, len(x)), weight) if kept is None else kept
        weight_grad = ctx.empty(weight.shape, weight) if ctx.needs_input_grad[1] else None
        scale = (grads[0] / total)[:, None]  # [M, 1], c_i
        scaled, x_grad = x * scale, torch.zeros_like(x)
        row_pull = None if share is None else torch.mv(x.T, grads[0] * -share)  # [D], the same for each row
        for rows in chunks:
            directions, row_scale = problem.directions(rows)
            matrix = memory[rows if kept is not None else slice(rows.stop - rows.start)]
            if kept is None:  # g is computed again, chunk by chunk, in the place of the last chunk's
                problem.logits(rows, directions, matrix)
                if maxima is not None:
                    matrix.sub_(maxima[0])
                problem.add_labelled_(rows, matrix.exp_(), taken)
            x_grad += matrix.T @ directions
            if weight_grad is not None:  # grad is a view: what follows is done in place, in weight_grad
                grad = torch.mm(matrix, scaled, out=weight_grad[rows])
                if row_pull is not None:
                    grad.add_(row_pull)
                if problem.cosine:  # along its own direction a row's length would change, which does not count
                    grad.addcmul_(directions, (directions * grad).sum(1, keepdim=True), value=-1)
                if row_scale is not None:
                    grad.mul_(row_scale)
        x_grad.mul_(scale)  # c_i at the end, once for each sample and not for each logit
        if pull is not None:
            x_grad.addr_(grads[0], pull, alpha=-1)
        return x_grad, weight_grad, *[None] * 9


def _new_empty(shape: Sequence[int], like: Tensor) -> Tensor:
    return like.new_empty(shape)


def sharded_softmax_loss(x: Tensor, weight: Tensor, slots: Tensor, labels: Optional[Tensor] = None,
                         active: Optional[Tensor] = None, cosine: bool = True, max_logit: Optional[float] = None,
                         ranks: Optional[Ranks] = None, margin: float = 0.0, uniform_smoothing: float = 0.0,
                         empty: Callable[[Sequence[int], Tensor], Tensor] = _new_empty) -> Tensor:
    """The softmax loss of each sample over the rows of all ranks, with labels inside the logarithm (Eq. 3).

    With one label of 1 equals ``F.cross_entropy(F.linear(x, F.normalize(weight, dim=1)), target, reduction='none')``,
    where ``weight`` are all ranks' rows, without ``F.normalize`` if not ``cosine``; and so do the gradients, of which
    each rank gets its rows' columns, and for ``x`` what its rows contribute.  With a margin that is what the logits of
    the target are lowered by first, and with uniform smoothing ``label_smoothing`` of ``F.cross_entropy``.

    Args:
        x: ``[M, D]``, all ranks' samples: their features, divided by the temperature; in the dtype of ``weight``.
        weight: ``[S_r, D]`` with S_r >= 1, this rank's rows, float32 or float64.
        slots: ``[M, L]`` int64, the rows of each sample's L labelled classes, active and none twice; -1 where a class
            is another rank's, or there are fewer.
        labels: ``[L]`` in the dtype of ``weight``, y in Eq. 2, the same for each sample; positive.  None for one, of 1.
        active: ``[S_r]`` bool, the rows that take part; None for all.
        cosine: whether only the direction of a row counts.
        max_logit: what no logit's absolute value exceeds, but for the margin, the same on every rank; None if that is
            not known.
        ranks: the ranks; one if None.
        margin: what is taken off each sample's logit of its first labelled class, CosFace's m divided by the
            temperature; not negative.
        uniform_smoothing: epsilon, the part of a label that all active rows share, in [0, 1).
        empty: where memory for a step's large tensors comes from.

    Returns:
        Tensor: ``[M]``, the same on every rank; infinite for a sample without any label.  All tensors are on one
        device.  Collectives: one all-reduce forward, one more if nothing bounds the logits, none backward.
    """
    return _ShardedSoftmaxLoss.apply(x, weight, slots, labels, active, cosine, max_logit, margin, uniform_smoothing,
                                     ranks or Ranks(), empty)
