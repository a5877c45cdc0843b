"""Hooks of experiments, which watch training or harm it: for configs in ``configs/glyphs``, in one process."""
import math
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from pic_plugin.arguments import check_positive
from pic_plugin.engine.hooks.common import batch_size_per_rank, instance_head, unwrapped_model
from pic_plugin.functional.hashing import hash64
from pic_plugin.functional.initial_rows import initial_rows
from pic_plugin.models import CosineInstanceHead
from pic_plugin.registry import HOOKS

MEASURED = 'measured'  # what the message hub has an experiment's figures under

_FORGOTTEN = 6  # what the hash is for
_BINS_PER_OCTAVE = 2  # of the distance
_NUM_PARTS = 16  # of an epoch


class Visits:
    """How long ago each class was visited, in samples of the stream.

    Args:
        num_instances: N.
    """

    def __init__(self, num_instances: int) -> None:
        self._last = torch.full((num_instances, ), -1)

    def distance(self, ids: Tensor, start: int) -> Tensor:
        """``[B]`` int64, of the samples at positions ``start``, ``start + 1``, … since each one's last; 0 for a first.

        An id that is there twice counts its visit before the batch.
        """
        positions = start + torch.arange(len(ids))
        last = self._last[ids]
        self._last[ids] = positions
        return (positions - last).where(last >= 0, 0)


@HOOKS.register_module()
class ForgetRowsHook(Hook):
    """Rows that were not visited for long start anew when they come back (PIC, Section 4.2 and Figure 3).

    Args:
        max_distance: in samples, beyond which a row is given new random values, as if it had never been visited.

    Raises:
        ValueError: if the distance is no positive whole number; when training starts, if all classes are active, or the
            recent ones stay so for longer than that.
    """

    priority = 'HIGHEST'  # before InstanceRowsHook makes the rows active

    def __init__(self, max_distance: int) -> None:
        check_positive(int, max_distance=max_distance)
        self.max_distance = max_distance
        self.num_forgotten = 0

    def before_run(self, runner: Runner) -> None:
        """Check that the rows are in the table by then."""
        num_negatives = instance_head(runner).num_negatives
        if num_negatives is None or num_negatives > self.max_distance:
            raise ValueError('ForgetRowsHook needs rows that are not active by then: num_negatives must be at most '
                             f'max_distance={self.max_distance}, got {num_negatives}')

    def before_train(self, runner: Runner) -> None:
        """Nothing has been visited."""
        self._visits = Visits(len(runner.train_dataloader.dataset))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Give the rows that come back new values."""
        ids = _ids(data_batch)
        away = self._visits.distance(ids, runner.iter * batch_size_per_rank(runner)) > self.max_distance
        forgotten = ids[away].unique()
        rows = instance_head(runner).allocated.rows
        # within so many samples there may be fewer distinct classes than are active
        forgotten = forgotten[rows.slots(forgotten) < 0]
        if len(forgotten):
            head, seed = instance_head(runner), int(hash64(runner.seed, _FORGOTTEN, runner.iter))
            rows.start_at(forgotten, initial_rows(forgotten, head.weight.shape[1], head.init_std, seed))
        self.num_forgotten += len(forgotten)

    def after_train(self, runner: Runner) -> None:
        """Say how many there were."""
        runner.message_hub.update_info(MEASURED, {'forgotten rows': self.num_forgotten})


@HOOKS.register_module()
class LossByDistanceHook(Hook):
    """The mean loss of the samples by how long ago each one's class was visited, and by its place in the epoch.

    The slides of PIC: "loss goes up inside each epoch".  Of the second half of the training; the distance in
    half octaves.  The loss of each sample is computed once more, from the definition.
    """

    def before_train(self, runner: Runner) -> None:
        """See what the projection head gives."""
        head = instance_head(runner)
        self._visits = Visits(head.allocated.num_instances)
        self._sums: dict[str, dict[float, list[float]]] = {'distance': {}, 'place': {}}
        self._place = -1.0
        self._ids = self._distance = torch.empty(0, dtype=torch.int64)
        self._handle = unwrapped_model(runner).neck.register_forward_hook(
            lambda module, args, output: self._see(head, output[-1]))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Note who comes, and how long it was away."""
        self._ids = _ids(data_batch)
        self._distance = self._visits.distance(self._ids, runner.iter * batch_size_per_rank(runner))
        place = math.floor(batch_idx / len(runner.train_dataloader) * _NUM_PARTS) / _NUM_PARTS
        self._place = place if runner.iter >= runner.max_iters / 2 else -1

    @torch.no_grad()
    def _see(self, head: CosineInstanceHead, features: Tensor) -> None:
        if self._place < 0:
            return
        rows = head.allocated.rows
        weight = F.normalize(head.weight, dim=1) if head.cosine else head.weight
        logits = (F.normalize(features, dim=1) if head.cosine else features) @ weight.T / head.temperature
        if rows.active is not None:
            logits = logits.masked_fill(~rows.active, -math.inf)
        losses = F.cross_entropy(logits, rows.slots(self._ids).to(logits.device), reduction='none').cpu()
        octaves = (self._distance.double().log2() * _BINS_PER_OCTAVE).floor() / _BINS_PER_OCTAVE
        for value, distance, loss in zip(octaves.exp2().tolist(), self._distance.tolist(), losses.tolist()):
            for name, key in (('distance', round(value)), ('place', self._place)):
                if distance:  # it was there before
                    total = self._sums[name].setdefault(key, [0.0, 0])
                    total[0] += loss
                    total[1] += 1

    def after_train(self, runner: Runner) -> None:
        """Give the means to the message hub: ``[[key, mean loss, count], ...]`` of each."""
        self._handle.remove()
        runner.message_hub.update_info(MEASURED, {
            f'loss by {name}': [[key, total / count, count] for key, (total, count) in sorted(sums.items())]
            for name, sums in self._sums.items()})


def _ids(data_batch: Any) -> Tensor:
    return torch.tensor([sample.sample_idx for sample in data_batch['data_samples']])
