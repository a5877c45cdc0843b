"""Rows that start as features of the network (One-Million-Way, A Contrastive Prior)."""
import time
from collections.abc import Sized
from typing import Optional

import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from pic_plugin.arguments import check_positive
from pic_plugin.datasets import SlidingWindowSampler
from pic_plugin.functional.hashing import hash64
from pic_plugin.progress import reported
from pic_plugin.registry import HOOKS

from .check_backbone_hook import pretrained_cfg
from .common import batch_size_per_rank, instance_head, loader_in_order, unwrapped_model

_PRIOR = 5  # what the hash is for


@HOOKS.register_module()
class ContrastivePriorHook(Hook):
    """Before the first iteration, gives each row its image's feature, where images share one the first image's.

    One pass over the training data, in a random order and as the training pipeline augments it (of several views, the
    first): the network with its initial weights, which may be those of a backbone that was trained before, no
    gradients, BatchNorm in training mode and all else, dropout say, in evaluation mode.  Afterwards the network is as
    it was, its running statistics included.

    A resumed run has its rows already, and makes no pass.

    Args:
        running_bn: whether BatchNorm is in training mode, which is what makes the prior contrastive: a feature is
            without what its batch has in common.  False is the paper's "raw with fixed BNs", Figure 4.
        row_norm: the length that rows start with, their direction being the feature's; None for the feature's own
            length, as in the paper.  Cosines see the direction alone, and SGD turns a row the slower the longer it is:
            by one over the square of its length.  Random rows start with about ``init_std`` times the root of D.

    Raises:
        ValueError: if ``row_norm`` is no positive number; when training starts, if ``running_bn`` and the network has
            no BatchNorm.
    """

    def __init__(self, running_bn: bool = True, row_norm: Optional[float] = None) -> None:
        check_positive(float, optional=True, row_norm=row_norm)
        self.running_bn, self.row_norm = running_bn, row_norm

    def before_run(self, runner: Runner) -> None:
        """Check that there is something to run."""
        if self.running_bn and not _batch_norms(unwrapped_model(runner)):
            raise ValueError('ContrastivePriorHook needs BatchNorm in model.backbone or model.neck, and there is none: '
                             'with running_bn=True it would have nothing to run; add BatchNorm, or leave the hook out')

    @torch.no_grad()
    def before_train(self, runner: Runner) -> None:
        """Make the pass, unless the run was resumed."""
        if runner.iter > 0:
            return
        model, head = unwrapped_model(runner), instance_head(runner)
        dataset, ranks = runner.train_dataloader.dataset, head.allocated.ranks
        gives_row = _gives_row(dataset)
        batch_size = batch_size_per_rank(runner)
        # a shuffled pass, in whole batches: the statistics of each are those of as many images.  Other orders and views
        # than the training's, whose first epoch should be new to the rows; the same on all ranks, by rank 0's seed
        sampler = SlidingWindowSampler(dataset, None, None, batch_size=batch_size,
                                       seed=int(hash64(ranks.broadcast_int(runner.seed), _PRIOR)))
        loaded = runner._load_from or pretrained_cfg(model.backbone)
        whose = 'of the backbone that was loaded' if loaded else 'of the untrained network'
        runner.logger.info(f'Contrastive prior: features {whose}, of {len(dataset)} images')
        start = time.monotonic()
        was_training = model.training
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        model.eval()
        for norm in _batch_norms(model):
            norm.train(self.running_bn)
        for i, batch in enumerate(reported(
                loader_in_order(runner, sampler, batch_size, runner.train_dataloader.num_workers),
                'batches of the contrastive prior', runner.logger.info)):
            batch = model.data_preprocessor(batch, True)
            views, ids = batch['inputs'], model.sample_ids(batch['data_samples'])
            with runner.optim_wrapper.optim_context(runner.model):
                features = model.project(views[0] if isinstance(views, (list, tuple)) else views, ids >= 0)
            if self.row_norm is not None:
                features = F.normalize(features.float(), dim=1) * self.row_norm
            position = (i * batch_size + torch.arange(batch_size)) * ranks.size + ranks.rank
            images = torch.tensor([sample.sample_idx for sample in batch['data_samples']])
            head.start_rows_at(ids.where((position < len(dataset)) & gives_row[images], -1), features)
        model.train(was_training)
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
        runner.logger.info(f'Contrastive prior: each row is its image\'s feature, {time.monotonic() - start:.0f} s')


def _gives_row(dataset: Sized) -> Tensor:
    """``[N]`` bool, whether an image is the first of its class."""
    classes = getattr(dataset, 'class_of_image', None)
    if classes is None:
        return torch.ones(len(dataset), dtype=torch.bool)
    order = classes.argsort(stable=True)
    first = torch.ones(len(order), dtype=torch.bool)
    first[1:] = classes[order[1:]] != classes[order[:-1]]
    return torch.zeros_like(first).index_put((order, ), first)


def _batch_norms(model: torch.nn.Module) -> list[_BatchNorm]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]
