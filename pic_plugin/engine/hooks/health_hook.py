"""Watches, without labels, whether training works."""
import math
from functools import partial
from typing import Any, NamedTuple, Optional

import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pic_plugin.datasets import SlidingWindowSampler
from pic_plugin.evaluation.effective_rank import effective_rank
from pic_plugin.evaluation.features import pooled_features
from pic_plugin.evaluation.health import Measured, faults, loss_by_distance
from pic_plugin.functional.visits import last_visits, num_visited
from pic_plugin.models import CosineInstanceHead, SeenBatch
from pic_plugin.registry import HOOKS
from pic_plugin.sharding import own_row_is_nearest

from .common import batch_size_per_rank, unwrapped_model

_NUM_SAMPLES = 1024  # of an epoch that are looked at
_NUM_ITERS = 16  # over which they are spread: within an epoch the distance to the last visit may grow
_DISTANCES = 0.25, 0.5, 1, 2  # to the last visit, in windows


class _Seen(NamedTuple):
    """Of one iteration, the samples that are looked at."""
    positions: Tensor  # [P] int64, in the stream
    readable: Tensor  # [P] bool, on the CPU
    hits_and_losses: Tensor  # [2, P], on the device


@HOOKS.register_module()
class HealthHook(Hook):
    """Logs, after each epoch (N samples of the stream, whatever the loop), what tells whether training works.

    ======================= =====================================================================================
    health/instance_top1    how often, in percent, a sample's own row is the nearest of the active ones
    health/rank_backbone    effective rank (RankMe) of the backbone's features, averaged over the places
    health/rank_projected   that of the features that are compared with the rows
    health/images_visited   in percent, so far
    health/visits_per_image so far, over all images
    health/loss_within_D    of the images last visited at most D samples ago, D = W/4, W/2, W and 2 W for a window of W;
                            likewise ``loss_beyond_D`` for all others, and ``loss_first_visit``
    ======================= =====================================================================================

    A collapse is a warning that says what to do.

    It looks at a thousand samples of the epoch: losses and rows as the training's forward has them, before the step;
    features of the last iterations, as they are augmented for training.  All stays on the device until the epoch is
    over.  Beyond the training step this takes one more product of these samples with the active rows, and two spectra;
    visits are read off the order of the data (:mod:`pic_plugin.functional.visits`).  Nothing that is trained changes.

    With another head than :class:`CosineInstanceHead` it does nothing; without :class:`SlidingWindowSampler`, or in
    another order, nothing is said about visits.
    """

    priority = 'LOW'

    def before_train(self, runner: Runner) -> None:
        """Choose the iterations of an epoch that are looked at."""
        model = unwrapped_model(runner)
        head = getattr(model, 'head', None)
        self._head = head if isinstance(head, CosineInstanceHead) else None
        if self._head is None:
            return
        self._neck: Optional[nn.Module] = model.neck if model.with_neck else None
        self._batch_size = batch_size_per_rank(runner)
        self._num_iters = len(runner.train_dataloader)
        self._samples_per_iter = math.ceil(_NUM_SAMPLES / min(_NUM_ITERS, self._num_iters))
        self._features_from = self._num_iters - math.ceil(
            _NUM_SAMPLES / (self._batch_size * self._head.allocated.ranks.size))
        self._handle: Optional[RemovableHandle] = None
        self._known: set[str] = set()  # faults
        self._start()

    def _start(self) -> None:
        """Forget the last epoch."""
        self._seen: list[_Seen] = []
        self._projected: list[Tensor] = []  # [M, D] each
        self._backbone: list[Tensor] = []  # [B, C] each
        self._in_order = True

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[Any] = None) -> None:
        """Look at the iteration, if it is one of those."""
        if self._head is None:
            return
        iter_ = runner.iter % self._num_iters
        if iter_ == 0:
            self._start()
        # the last of each _NUM_ITERS-th part of the epoch
        spread = (iter_ + 1) * _NUM_ITERS // self._num_iters > iter_ * _NUM_ITERS // self._num_iters
        features = iter_ >= self._features_from
        if spread or features:
            self._head.observer = partial(self._observe, runner, self._head, spread, features)
        if features and self._neck is not None:
            self._first_view = True
            self._handle = self._neck.register_forward_pre_hook(self._observe_backbone)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[Any] = None,
                         outputs: Optional[dict] = None) -> None:
        """Look away; at the end of an epoch, log."""
        if self._head is None:
            return
        self._head.observer = None
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
        if (runner.iter + 1) % self._num_iters == 0:
            self._log(runner, self._head)

    @torch.no_grad()
    def _observe(self, runner: Runner, head: CosineInstanceHead, spread: bool, features: bool,
                 batch: SeenBatch) -> None:
        """Take from a batch what is needed, before the rows are moved; nothing is waited for."""
        sampler = runner.train_dataloader.sampler
        if features:
            self._projected.append(batch.features)
        if not spread:
            return
        _, ranks, rows, *_ = head.allocated
        ids, slots, x, losses = (tensor[:self._samples_per_iter] for tensor in batch)
        hits = own_row_is_nearest(x, head.weight, slots, rows.active, ranks)
        first = 0
        if isinstance(sampler, SlidingWindowSampler):
            epoch, iter_ = divmod(runner.iter, self._num_iters)
            first = sampler.start_of(epoch) + iter_ * self._batch_size * ranks.size
            mine = batch.ids[ranks.rank::ranks.size]
            announced = sampler.samples(epoch, iter_ * self._batch_size, iter_ * self._batch_size + len(mine))
            self._in_order &= torch.equal(torch.where(mine < 0, -1 - mine, mine), announced)
        self._seen.append(_Seen(first + torch.arange(len(ids)), ids >= 0, torch.stack([hits.to(losses), losses])))

    def _observe_backbone(self, _: nn.Module, args: tuple[Any, ...]) -> None:
        if self._first_view:
            features = pooled_features(args[0]).detach()
            # images that could not be read are missing: all ranks have as many, and zeros change no spectrum
            self._backbone.append(F.pad(features, (0, 0, 0, self._batch_size - len(features))))
        self._first_view = False

    def _log(self, runner: Runner, head: CosineInstanceHead) -> None:
        num_instances, ranks, *_ = head.allocated
        features = {'projected': torch.cat(self._projected)[-_NUM_SAMPLES:]}
        if self._backbone:
            mine = torch.cat(self._backbone)[-math.ceil(_NUM_SAMPLES / ranks.size):]
            features = {'backbone': ranks.all_gather(mine).flatten(0, 1), **features}
        readable = torch.cat([seen.readable for seen in self._seen])
        if ranks.rank > 0 or not readable.any():
            return
        hits, losses = torch.cat([seen.hits_and_losses for seen in self._seen], 1).cpu()[:, readable]
        effective_ranks = {name: effective_rank(values) for name, values in features.items()}
        metrics = {'instance_top1': 100 * float(hits.mean()),
                   **{f'rank_{name}': rank for name, rank in effective_ranks.items()}}
        num_visits, num_visited_ = 0.0, num_instances
        sampler = runner.train_dataloader.sampler
        if isinstance(sampler, SlidingWindowSampler) and self._in_order:
            stream = (num_instances, sampler.window_size, sampler.window_stride, sampler.seed, sampler.reshuffle)
            end = sampler.start_of((runner.iter + 1) // self._num_iters)
            num_visits, num_visited_ = end / num_instances, num_visited(end, *stream)
            positions = torch.cat([seen.positions for seen in self._seen])[readable]
            last = last_visits(positions, *stream)
            edges = sorted({math.ceil(sampler.window_size * part) for part in _DISTANCES})
            metrics.update({'images_visited': 100 * num_visited_ / num_instances, 'visits_per_image': num_visits})
            metrics.update({f'loss_{name}': value for name, value in loss_by_distance(
                losses, (positions - last).where(last >= 0, 0), edges).items()})
        self._write(runner, metrics)
        num_classes = min(head.num_negatives or num_instances, num_visited_)
        self._warn(runner, faults(Measured(len(hits), int(hits.sum()), float(losses.mean()), num_classes, num_visits,
                                           effective_ranks)))

    def _write(self, runner: Runner, metrics: dict[str, float]) -> None:
        text = '  '.join(f'{name}: {value:.2f}' for name, value in metrics.items())
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            step, title = runner.iter + 1, f'Iter(health) [{runner.iter + 1}/{runner.max_iters}]'
        else:
            step, title = runner.epoch + 1, f'Epoch(health) [{runner.epoch + 1}/{runner.max_epochs}]'
        runner.logger.info(f'{title}  {text}')
        runner.visualizer.add_scalars({f'health/{name}': value for name, value in metrics.items()}, step=step,
                                      file_path=f'{runner.timestamp}.json')

    def _warn(self, runner: Runner, found: dict[str, str]) -> None:
        """Say what is wrong once, until it has been right again."""
        for kind, text in found.items():
            if kind not in self._known:
                runner.logger.warning(text)
        self._known = set(found)
