"""Moves rows: before each iteration the classes of the batch are made active."""
import math
import os
from typing import Any, Optional

import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.optim import BaseOptimWrapper
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import Tensor

from pic_plugin.arguments import check_kind
from pic_plugin.checkpoints.start import fit_backbone
from pic_plugin.datasets import SlidingWindowSampler, check_own_rows
from pic_plugin.registry import HOOKS
from pic_plugin.rows import HardestOfAll
from pic_plugin.sharding import Ranks

from ..optim_wrapper import AmpWeightCorrectingOptimWrapper, WeightCorrectingOptimWrapper
from ..saving_check import check_saving
from .common import batch_size_per_rank, instance_head, unwrapped_model, way_back
from .instance_checkpoint_hook import InstanceCheckpointHook
from .trial_forward import check_network


@HOOKS.register_module()
class InstanceRowsHook(Hook):
    """Allocates the rows when training starts, and makes each batch's classes active before its forward.

    Where labels are smoothed over the hardest of all classes, these are found at the start of each epoch.

    Args:
        max_unreadable_share: the share of the data set's images that may turn out to be unreadable before training
            stops; they are named in the log as they are met.

    Raises:
        ValueError: if the share is no number in [0, 1].
    """

    priority = 'VERY_HIGH'

    def __init__(self, max_unreadable_share: float = 0.01) -> None:
        check_kind(float, max_unreadable_share=max_unreadable_share)
        if not 0 <= max_unreadable_share <= 1:
            raise ValueError(f'max_unreadable_share must be in [0, 1], got {max_unreadable_share}')
        self.max_unreadable_share = max_unreadable_share
        self._unreadable: set[int] = set()  # all ranks'
        self._class_of_image: Optional[Tensor] = None  # [N], where images share rows

    def before_run(self, runner: Runner) -> None:
        """Check that what is trained will be saved.

        Raises:
            ValueError: if it would not be.
        """
        if isinstance(runner.optim_wrapper, BaseOptimWrapper):  # and not a config: this is a training
            check_saving(runner, InstanceCheckpointHook, (type(self), ))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Have ``load_from`` load the backbone, also from a file of it alone.

        Raises:
            ValueError: if the backbone would not take all of its tensors.
        """
        if not runner._resume:
            fit_backbone(checkpoint, unwrapped_model(runner).state_dict(), runner._load_from)

    def before_train(self, runner: Runner) -> None:
        """Allocate the rows, once data, network and head were seen to fit.

        Raises:
            ValueError: from :func:`.check_network` and :meth:`CosineInstanceHead.allocate_rows`; if the optimizer
                wrapper keeps no log; if an item of the data set is not the image of that index; or if something is to
                be done once per epoch, and there are no epochs.
        """
        check_own_rows(runner.train_dataloader.dataset)
        head, optim_wrapper = instance_head(runner), runner.optim_wrapper
        if not isinstance(optim_wrapper, (WeightCorrectingOptimWrapper, AmpWeightCorrectingOptimWrapper)):
            raise ValueError('optim_wrapper.type must be WeightCorrectingOptimWrapper or '
                             f'AmpWeightCorrectingOptimWrapper, got {type(optim_wrapper).__name__}: rows that were '
                             'away are brought up to date from its log of steps')
        check_network(runner)
        loader = runner.train_dataloader
        # an epoch has as many batches as before, and the last one is whole
        if isinstance(loader.sampler, SlidingWindowSampler):
            if loader.drop_last:
                loader.sampler.num_dropped = len(loader.sampler) % batch_size_per_rank(runner)
            else:
                loader.sampler.batch_size = batch_size_per_rank(runner)
        ranks = Ranks.of_world()
        optim_wrapper.track_rows(head.weight, ranks)
        self._class_of_image = getattr(loader.dataset, 'class_of_image', None)
        num_rows = len(loader.dataset) if self._class_of_image is None else int(self._class_of_image.max()) + 1
        head.allocate_rows(num_rows, batch_size_per_rank(runner) * ranks.size,
                           optim_wrapper, ranks, ranks.broadcast_int(runner.seed),
                           os.path.join(runner.work_dir, 'table'))
        if isinstance(head.allocated.hard_classes, HardestOfAll) and isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError('label_smoothing with all classes needs train_cfg.type=EpochBasedTrainLoop, got '
                             'IterBasedTrainLoop: the hardest classes are found at the start of each epoch')

    def before_train_epoch(self, runner: Runner) -> None:
        """Find the hardest classes, if labels are smoothed."""
        head = instance_head(runner)
        with way_back(runner):
            head.check_finite()
        head.find_hard_classes(runner.logger.info)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[Any] = None) -> None:
        """Make the batch's classes active.

        Raises:
            ValueError: if a hyperparameter is not finite, too many images are unreadable, or an id is out of range.
            FloatingPointError: if the last loss was not finite.
        """
        for group in runner.optim_wrapper.optimizer.param_groups:
            for name in ('lr', 'momentum', 'weight_decay'):
                if name in group and not math.isfinite(group[name]):  # not every optimizer has all of them
                    raise ValueError(f'{name} must be finite, got {group[name]} at iteration {runner.iter}; '
                                     'check optim_wrapper.optimizer and param_scheduler')
        samples = data_batch['data_samples']  # type: ignore[index]
        ids = unwrapped_model(runner).sample_ids(samples)
        for i, sample in enumerate(samples):
            if (reason := sample.get('unreadable')) is not None:
                if sample.sample_idx not in self._unreadable:
                    runner.logger.warning(f'left out of the loss, cannot be read: {reason}')
                ids[i] = -1 - sample.sample_idx  # the image, not its class: all ranks count these
        head = instance_head(runner)
        with way_back(runner):
            batch_ids = head.activate(ids, self._next_batch(runner))
        self._count_unreadable(batch_ids, len(runner.train_dataloader.dataset))

    def after_train(self, runner: Runner) -> None:
        """Say how many images could not be read."""
        if self._unreadable:
            runner.logger.warning(f'{len(self._unreadable)} images could not be read and were left out of the loss')

    def _count_unreadable(self, batch_ids: Tensor, num_images: int) -> None:
        self._unreadable.update((-1 - batch_ids[batch_ids < 0]).tolist())
        if len(self._unreadable) > self.max_unreadable_share * num_images:
            raise ValueError(f'{len(self._unreadable)} of {num_images} images could not be read, more than '
                             f'max_unreadable_share={self.max_unreadable_share}; the log names them')

    def _next_batch(self, runner: Runner) -> Optional[Tensor]:
        """``[B]`` int64, the rows that come next on this rank, -1 to fill up; None where no sampler knows them."""
        sampler, batch_size = runner.train_dataloader.sampler, batch_size_per_rank(runner)
        if not isinstance(sampler, SlidingWindowSampler):
            return None
        epoch, batch = divmod(runner.iter + 1, len(runner.train_dataloader))
        start = batch * batch_size
        upcoming = sampler.samples(epoch, start, min(start + batch_size, len(sampler)))
        if self._class_of_image is not None:
            upcoming = self._class_of_image[upcoming]
        return F.pad(upcoming, (0, batch_size - len(upcoming)), value=-1)
