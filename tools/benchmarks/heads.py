"""What is compared: heads of instance classification that make one whole step each."""
import os
import tempfile
from typing import Any, Optional, cast
from unittest.mock import patch

import torch
import torch.nn.functional as F
from measure import memory_bytes
from torch import Tensor, nn

from pic_plugin.engine import WeightCorrectingOptimWrapper
from pic_plugin.functional.cosine_softmax import cosine_softmax_loss
from pic_plugin.functional.windows import stream_samples
from pic_plugin.models import CosineInstanceHead
from pic_plugin.rows import RecentRows, RowState
from pic_plugin.sharding import Ranks

TEMPERATURE = 0.2
SGD: dict[str, Any] = dict(lr=0.03, momentum=0.9, weight_decay=1e-4)
_STEPS_BEFORE = 20000  # in the log of steps
_FILLED_ROWS = 1 << 14  # rows that are written at once
_ACTIVATED_ROWS = 4096


class Head:
    """Makes steps on features and ids, and tells its memory."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self._before = memory_bytes('VmRSS')

    def step(self, features: Tensor, ids: Tensor, upcoming: Optional[Tensor] = None) -> float:
        """One step: the loss, the gradients of features and rows, and the rows' update; returns the loss."""
        raise NotImplementedError

    def memory(self, name: str = 'VmHWM') -> int:
        """Bytes of this process, above those before anything was allocated."""
        return memory_bytes(name) - self._before


class Dense(Head):
    """All N rows in each step: the formula as it stands, autograd, and torch.optim.SGD."""

    def __init__(self, num_instances: int, num_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_instances, num_channels).normal_(std=0.01))
        self.optimizer = torch.optim.SGD([self.weight], **SGD)

    def step(self, features: Tensor, ids: Tensor, upcoming: Optional[Tensor] = None) -> float:
        """Over all N classes."""
        features.requires_grad_()
        self.optimizer.zero_grad()
        loss = cosine_softmax_loss(features, self.weight, ids, TEMPERATURE)
        loss.backward()
        self.optimizer.step()
        return loss.item()


class RandomNegatives(Head):
    """K rows a step: those of the batch, and others drawn at random, as PartialFC does; nothing is caught up."""

    def __init__(self, num_instances: int, num_channels: int, num_negatives: int) -> None:
        super().__init__()
        self.num_negatives = num_negatives
        self.weight = torch.empty(num_instances, num_channels).normal_(std=0.01)
        self.momentum = torch.zeros_like(self.weight)

    def step(self, features: Tensor, ids: Tensor, upcoming: Optional[Tensor] = None) -> float:
        """Over the classes drawn."""
        features.requires_grad_()
        positives = ids.unique()
        order = torch.rand(len(self.weight))
        order[positives] = 2
        drawn = order.topk(self.num_negatives).indices.sort().values
        weight = nn.Parameter(self.weight[drawn])
        optimizer = torch.optim.SGD([weight], **SGD)
        optimizer.state[weight]['momentum_buffer'] = self.momentum[drawn]
        loss = cosine_softmax_loss(features, weight, torch.searchsorted(drawn, ids), TEMPERATURE)
        loss.backward()
        optimizer.step()
        self.weight[drawn], self.momentum[drawn] = weight.data, optimizer.state[weight]['momentum_buffer']
        return loss.item()


class ByHand(Head):
    """K fixed rows, nothing moves; gradients by hand, in place, in buffers allocated once: what a step costs at least.

    Every tensor is whole: nothing is arranged for the processor's cache.
    """

    def __init__(self, num_channels: int, num_negatives: int) -> None:
        super().__init__()
        self.weight = torch.empty(num_negatives, num_channels).normal_(std=0.01)
        self.momentum, self.grad, self.direction = (torch.zeros_like(self.weight) for _ in range(3))
        self.length = torch.empty(num_negatives, 1)
        self.logits = torch.empty(0)

    def step(self, features: Tensor, ids: Tensor, upcoming: Optional[Tensor] = None) -> float:
        """Over the K rows."""
        batch_size = len(ids)
        if len(self.logits) != batch_size:
            self.logits = torch.empty(batch_size, len(self.weight))
        x = F.normalize(features, dim=1) / TEMPERATURE
        target = ids % len(self.weight)
        torch.linalg.vector_norm(self.weight, dim=1, keepdim=True, out=self.length)
        torch.div(self.weight, self.length, out=self.direction)
        logits = torch.mm(x, self.direction.T, out=self.logits)
        positive = logits.gather(1, target[:, None])
        maximum = logits.amax(1, keepdim=True)
        total = logits.sub_(maximum).exp_().sum(1, keepdim=True)
        loss = (total.log() + maximum - positive).mean()
        logits.div_(total * batch_size)
        logits[torch.arange(batch_size), target] -= 1 / batch_size
        torch.mm(logits, self.direction)  # the gradient of the features
        torch.mm(logits.T, x, out=self.grad)
        along = torch.linalg.vecdot(self.grad, self.direction)[:, None]
        self.grad.addcmul_(self.direction, along, value=-1).div_(self.length)
        self.momentum.mul_(SGD['momentum']).add_(self.grad).add_(self.weight, alpha=SGD['weight_decay'])
        self.weight.add_(self.momentum, alpha=-SGD['lr'])
        return loss.item()


class Ours(Head):
    """The plugin's head, rows, log of steps and optimizer wrapper, in the state of a long run.

    Args:
        num_instances: N.
        num_channels: D.
        num_negatives: K.
        table: 'memory' or 'disk'.
        fill: whether all N rows have been visited before; if not, they lie on the disk only as they are visited.
    """

    def __init__(self, num_instances: int, num_channels: int, num_negatives: int, table: str, fill: bool) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(dir='.')
        self.head = CosineInstanceHead(num_negatives, num_channels, TEMPERATURE, table=table)
        self.wrapper = WeightCorrectingOptimWrapper(torch.optim.SGD(self.head.parameters(), fused=True, **SGD))
        steps = torch.tensor([list(SGD.values())], dtype=torch.float64).repeat(_STEPS_BEFORE, 1)
        self.wrapper.step_log.load_state_dict({'steps': steps})
        self.wrapper.track_rows(self.head.weight, Ranks())
        # a file for 10^9 rows would not fit if all of them were visited, which takes longer than a benchmark
        with patch('pic_plugin.models.cosine_instance_head.check_disk'):
            self.head.allocate_rows(num_instances, 1, self.wrapper, Ranks(), 0, self._folder.name)
        self.rows = cast(RecentRows, self.head.allocated.rows)
        self.table: Any = self.rows.table
        if fill:
            self._visit_all(num_instances, num_channels)
        for start in range(0, num_negatives, _ACTIVATED_ROWS):
            self.head.activate(sliding_window(num_instances, start, _ACTIVATED_ROWS))

    def _visit_all(self, num_instances: int, num_channels: int) -> None:
        generator = torch.Generator().manual_seed(0)
        for ids in torch.arange(num_instances).split(_FILLED_ROWS):
            weight, momentum = torch.randn(2, len(ids), num_channels, generator=generator).mul_(0.01)
            clock = torch.randint(0, _STEPS_BEFORE, (len(ids), ), generator=generator)
            self.table.write(ids, RowState(weight, momentum, clock))
        os.sync()  # what is written out later would disturb the steps

    def step(self, features: Tensor, ids: Tensor, upcoming: Optional[Tensor] = None) -> float:
        """Over the recent classes; moves rows, catches them up, and has the next ones read ahead."""
        features.requires_grad_()
        self.head.activate(ids, upcoming)
        loss = self.head.loss(features[None], ids)
        self.wrapper.update_params(loss)
        return loss.item()

    def bytes_per_row(self) -> int:
        """Of the table, once a row was visited."""
        return self.table.bytes_per_row(self.table.num_channels, self.head.weight.dtype)

    def bytes_on_disk(self) -> int:
        """Of the table."""
        self.rows.finish()
        os.sync()  # room is made when the pages are written out
        return self.table.bytes_on_disk


def sliding_window(num_instances: int, start: int, length: int) -> Tensor:
    """Ids of the sliding-window stream, with the paper's window and stride where the data set is large enough."""
    window = min(131072, num_instances // 2)
    return stream_samples(torch.arange(start, start + length), num_instances, window, window // 8, seed=0)
