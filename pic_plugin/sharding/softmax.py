r"""Softmax cross-entropy when each rank has the logits of its own rows only.

"Train a One-Million-Way Instance Classifier", Hybrid Parallelism.  M = all ranks' samples, S_r = rank r's slots::

                    S_0     S_1     S_2
    samples of 0  |  .   |   .   |   .   |
    samples of 1  |  .   |   .   |   .   |   each rank holds one column of blocks: logits[M, S_r]
    samples of 2  |  .   |   .   |   .   |

What crosses the network per step: the features there and their gradients back (M x D each), and three numbers per
sample: the maximum, the sum of exponentials and the positive logit.  Rows and their gradients never do.
"""
from typing import Any

import torch
from torch import Tensor

from .ranks import Ranks


class _GatherFeatures(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, features: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks.all_gather(features)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        total = ctx.ranks.sum_(grads[0].clone(memory_format=torch.contiguous_format))
        return total[ctx.ranks.rank] * ctx.ranks.size, None


def gather_features(features: Tensor, ranks: Ranks) -> Tensor:
    """Features of all ranks, with the gradient of the loss over the *whole* batch.

    The backward sums what each rank's rows say about this rank's features, and multiplies by R, because
    DistributedDataParallel will divide the backbone's gradient by R when it averages over the ranks.

    Args:
        features: ``[...]``, of one shape on every rank.
        ranks: the ranks.

    Returns:
        Tensor: ``[R, ...]``.  Collectives: one all-gather forward, one all-reduce backward.
    """
    return _GatherFeatures.apply(features, ranks)


class _ShardedCrossEntropy(torch.autograd.Function):

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, ranks: Ranks) -> Tensor:
        maximum = ranks.max_(logits.amax(1))
        exponentials = (logits - maximum[:, None]).exp_()
        positive = logits.gather(1, target.clamp(min=0)[:, None])[:, 0].masked_fill(target < 0, 0)
        sums, positive = ranks.sum_(torch.stack([exponentials.sum(1), positive]))
        ctx.save_for_backward(exponentials.div_(sums[:, None]), target)
        return sums.log() + maximum - positive

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        probability, target = ctx.saved_tensors
        mine = (target >= 0).nonzero()[:, 0]
        grad = probability.clone()
        grad[mine, target[mine]] -= 1
        return grad.mul_(grads[0][:, None]), None, None


def sharded_cross_entropy(logits: Tensor, target: Tensor, ranks: Ranks) -> Tensor:
    """Cross-entropy of each sample over the rows of all ranks.

    Equals ``F.cross_entropy(torch.cat(logits of all ranks, 1), target, reduction='none')``, and the gradient with
    respect to this rank's logits equals the matching columns of that one's.

    Args:
        logits: ``[M, S_r]`` with S_r >= 1, all samples against this rank's slots; -inf leaves a slot out.
        target: ``[M]`` int64, the positive's slot, -1 where the positive is another rank's.
        ranks: the ranks.

    Returns:
        Tensor: ``[M]``, the same on every rank.  Collectives: two all-reduces forward, none backward.
    """
    return _ShardedCrossEntropy.apply(logits, target, ranks)
