"""The classifier of instances: one row per image, of which the active ones are on the device."""
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Optional

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from pic_plugin.arguments import check_kind, check_positive
from pic_plugin.progress import Report
from pic_plugin.registry import MODELS
from pic_plugin.rows import (
    ActiveBatch,
    AllRows,
    DiskTable,
    HardClasses,
    HardestOfActive,
    HardestOfAll,
    MemoryTable,
    RecentRows,
    RowOptimizer,
    Rows,
    RowTable,
)
from pic_plugin.rows.loss_check import LossCheck
from pic_plugin.rows.room import check_disk, check_memory
from pic_plugin.rows.scratch import Scratch
from pic_plugin.sharding import Block, Ranks, block_of, gather_features, sharded_softmax_loss


class AllocatedRows(NamedTuple):
    """What the head has once it knows the data set and the ranks."""
    num_instances: int  # N
    ranks: Ranks
    rows: Rows
    hard_classes: Optional[HardClasses]  # None without label smoothing
    labels: Optional[Tensor]  # [L], One-Million-Way, Eq. 2: of a sample's own class and of the hardest; None for one


class SeenBatch(NamedTuple):
    """All ranks' M samples as the loss saw them, in the order of the stream, detached."""
    ids: Tensor  # [M] int64 on the CPU, negative where a sample is left out
    slots: Tensor  # [M] int64, this rank's slot of each sample's row, -1 for another rank's
    features: Tensor  # [M, D], of the first view, divided by the temperature, and by their length if cosines count
    losses: Tensor  # [M], mean over the views; of no meaning where a sample is left out


@MODELS.register_module()
class CosineInstanceHead(BaseModule):
    r"""Softmax over the cosine similarity to the rows of the active classes (PIC, Eq. 1 and Section 2.3).

    With ``label_smoothing`` the classes that are hardest to tell from a sample's own share its label (One-Million-Way,
    Eq. 2 and 3): found at the start of each epoch where all classes are active, else for each batch, among the active.
    With ``uniform_smoothing`` all active classes share a part of it (DIET, arXiv 2302.10260), and with ``margin`` a
    sample has to be that much more similar to its own class than to another (CosFace, Wang et al., CVPR 2018, Eq. 4).

    The rows are no part of the state dict: each rank has its own, and they are checkpointed by row.  The number of
    rows is the data set's, so they are allocated when training starts (``InstanceRowsHook``).

    Args:
        num_negatives: K, how many classes take part in the softmax, those visited last (fewer where the data set is
            smaller); None for all.
        in_channels: D, of the projected features and of a row.
        temperature: tau.
        cosine: whether to compare by the cosine; False is the plain softmax of PIC's Table 1.
        label_smoothing: alpha, the part of the label that the hardest classes share.
        num_hard_classes: how many they are; K in One-Million-Way.
        uniform_smoothing: epsilon, the part of the label that all active classes share; DIET has 0.8.
        margin: m, what a sample's cosine to its own class is lowered by; CosFace has 0.35.
        weight_correction: whether rows that come back are brought up to date; False is for PIC's Table 2.
        table: where the rows that are not active live: 'memory' for the host's, 'disk' for a sparse file.
        table_dir: the folder of that file, on a local disk; ``table`` in the work directory if None, on one machine.
        num_instances: N, if it is to be checked against the data set's size.
        init_std: standard deviation of the rows' initial, normal, values.
        init_cfg: of mmengine's BaseModule.

    Attributes:
        weight (nn.Parameter): ``[S, D]``, the rows at hand on this rank; empty before training starts.
        observer (callable, optional): is shown each batch (:class:`SeenBatch`) before its step, on every rank; of
            multi-crop the large views.

    Raises:
        ValueError: if a number is of another kind or not positive, or alpha, epsilon or m not in [0, 1); there is to be
            a margin between other than cosines; there is no such table; or all classes are to be active and still live
            on disk.
    """

    def __init__(self,
                 num_negatives: Optional[int] = 65536,
                 in_channels: int = 128,
                 temperature: float = 0.2,
                 cosine: bool = True,
                 label_smoothing: float = 0.0,
                 num_hard_classes: int = 100,
                 uniform_smoothing: float = 0.0,
                 margin: float = 0.0,
                 weight_correction: bool = True,
                 table: str = 'memory',
                 table_dir: Optional[str] = None,
                 num_instances: Optional[int] = None,
                 init_std: float = 0.01,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        check_positive(int, in_channels=in_channels, num_hard_classes=num_hard_classes)
        check_positive(int, optional=True, num_negatives=num_negatives, num_instances=num_instances)
        check_positive(float, temperature=temperature, init_std=init_std)
        check_kind(float, label_smoothing=label_smoothing, uniform_smoothing=uniform_smoothing, margin=margin)
        for name, value in (('label_smoothing', label_smoothing), ('uniform_smoothing', uniform_smoothing),
                            ('margin', margin)):
            if not 0 <= value < 1:
                raise ValueError(f'{name} must be in [0, 1), got {value}')
        if margin and not cosine:
            raise ValueError('margin needs cosine=True: it lowers a cosine, and inner products may be of any size; got '
                             f'margin={margin} with cosine=False; set margin=0 or cosine=True')
        if table not in ('memory', 'disk'):
            raise ValueError(f"table must be 'memory' or 'disk', got {table!r}")
        if not isinstance(table_dir, (str, type(None))):
            raise ValueError(f'table_dir must be the name of a folder or None, got {table_dir!r}; put it in quotes')
        if table == 'disk' and num_negatives is None:
            raise ValueError("table='disk' needs num_negatives: with all classes every row is active, on the device")
        self.num_negatives, self.num_instances = num_negatives, num_instances
        self.table, self.table_dir = table, table_dir
        self.temperature, self.cosine, self.init_std = temperature, cosine, init_std
        self.label_smoothing, self.num_hard_classes = label_smoothing, num_hard_classes
        self.uniform_smoothing, self.margin = uniform_smoothing, margin
        self.weight_correction = weight_correction
        self.weight = nn.Parameter(torch.empty(0, in_channels))
        self._allocated: Optional[AllocatedRows] = None
        self._scratch = Scratch()
        self.observer: Optional[Callable[[SeenBatch], None]] = None
        self._batch_ids = torch.empty(1, 0, dtype=torch.int64)  # [R, B], of the batch that is active, on the CPU
        self._batch: Optional[ActiveBatch] = None  # [R, B], where that is
        self._batch_slots = self._batch_ids[..., None]  # [R, B, L], each sample's own class, and the hardest
        self._last_loss = torch.zeros(())  # of this iteration, summed over the calls of loss()
        self._check = LossCheck()  # of the iteration before

    def allocate_rows(self, num_instances: int, global_batch_size: int, optimizer: RowOptimizer, ranks: Ranks,
                      seed: int, table_dir: str = 'table') -> None:
        """Allocate this rank's rows.  Collective.

        Args:
            num_instances: N, the data set's size.
            global_batch_size: samples per iteration over all ranks.
            optimizer: of the rows.
            ranks: among which the rows are shared out.
            seed: of the rows' initial values, the same on every rank.
            table_dir: the folder of a table on disk, where the head's own is None.

        Raises:
            ValueError: if the head was configured for another N, K is smaller than the global batch, there are to be
                more hard classes than other classes, or the table has no room, or, on several machines, no folder.
        """
        if self.num_instances not in (None, num_instances):
            raise ValueError(f'num_instances of the head is {self.num_instances}, and the data set has {num_instances} '
                             'images; leave num_instances out to take it from the data set')
        capacity = min(self.num_negatives or num_instances, num_instances)
        if self.label_smoothing and self.num_hard_classes >= capacity:
            raise ValueError(f'num_hard_classes must be less than the {capacity} classes of the softmax, got '
                             f'{self.num_hard_classes}; lower it, or set label_smoothing=0')
        block = block_of(ranks.rank, num_instances, ranks.size)
        rows: Rows
        hard_classes: HardClasses
        if self.num_negatives is None:
            rows = AllRows(self.weight, optimizer, block, self.init_std, seed)
            hard_classes = HardestOfAll(rows, ranks, self.num_hard_classes, num_instances)
        else:
            if capacity < min(global_batch_size, num_instances):
                raise ValueError(f'num_negatives must be at least the global batch of {global_batch_size} samples, '
                                 f'got {self.num_negatives}')
            rows = RecentRows(self.weight, optimizer, self._build_table(block, seed, ranks, table_dir), ranks, capacity,
                              self.weight_correction)
            hard_classes = HardestOfActive(rows, ranks, self.num_hard_classes)
        if not self.label_smoothing:
            self._allocated = AllocatedRows(num_instances, ranks, rows, None, None)
            return
        labels = self.weight.new_full((1 + self.num_hard_classes, ), self.label_smoothing / self.num_hard_classes)
        labels[0] = 1 - self.label_smoothing
        self._allocated = AllocatedRows(num_instances, ranks, rows, hard_classes, labels)

    def _build_table(self, block: Block, seed: int, ranks: Ranks, table_dir: str) -> RowTable:
        num_channels, dtype = self.weight.shape[1], self.weight.dtype
        num_bytes = len(block) * RowTable.bytes_per_row(num_channels, dtype)
        if self.table == 'memory':
            check_memory(ranks.sum_on_this_machine(num_bytes))
            return MemoryTable(block, num_channels, self.init_std, seed, dtype)
        if self.table_dir is None and ranks.sum_on_this_machine(1) < ranks.size:
            raise ValueError("model.head.table_dir must be given where table='disk' and training goes over several "
                             'machines: a folder on a local disk of each (the work directory is one that all of them '
                             'see, and rows are read and written all the time)')
        folder = Path(self.table_dir or table_dir)
        folder.mkdir(parents=True, exist_ok=True)
        check_disk(folder, ranks.sum_on_this_machine(num_bytes))
        return DiskTable(block, num_channels, self.init_std, seed, dtype, folder)

    @property
    def allocated(self) -> AllocatedRows:
        """The rows of this rank.

        Raises:
            RuntimeError: before :meth:`allocate_rows`.
        """
        if self._allocated is None:
            raise RuntimeError('CosineInstanceHead has no rows yet: they are moved by a hook; add '
                               "dict(type='InstanceRowsHook') to custom_hooks")
        return self._allocated

    def start_rows_at(self, ids: Tensor, features: Tensor) -> None:
        """Give rows an initial value, in place of the random one; before the first iteration.  Collective.

        Args:
            ids: ``[B]`` int64 on the CPU, of any ranks' rows, none twice over all ranks; negative to leave one out.
            features: ``[B, D]``, B the same on every rank.
        """
        _, ranks, rows, *_ = self.allocated
        ids, features = ranks.all_gather(ids).flatten(), ranks.all_gather(features).flatten(0, 1)
        mine = rows.block.contains(ids)
        rows.start_at(ids[mine], features[mine.to(features.device)])

    def find_hard_classes(self, report: Optional[Report] = None) -> None:
        """Find each row's hardest classes, where all are active; told to ``report`` how far it is.  Collective."""
        if (hard_classes := self.allocated.hard_classes) is not None:
            hard_classes.find(report)

    def activate(self, ids: Tensor, upcoming: Optional[Tensor] = None) -> Tensor:
        """Make the classes of all ranks' batches active, before the forward.  Collective; waits for no device.

        Args:
            ids: ``[B]`` int64 on the CPU, this rank's, B the same on every rank; negative where the sample is to be
                left out.
            upcoming: ``[B']``, this rank's ids of the next batch, as far as they are known: their rows are read and
                sent meanwhile; -1 fills up, so that B' is the same on every rank.

        Returns:
            Tensor: ``[R, B]``, the ids of all ranks.

        Raises:
            ValueError: if an id is out of range, or the batch has more distinct ids than the softmax has classes.
            FloatingPointError: if the loss before the last was not finite; no row has been written back since.
        """
        num_instances, ranks, rows, hard_classes, _ = self.allocated
        check = LossCheck(self._last_loss)
        both = ids if upcoming is None else torch.cat([ids, upcoming])
        self._batch_ids, upcoming = ranks.all_gather(both).tensor_split([len(ids)], 1)
        if len(ids) and int(self._batch_ids.max()) >= num_instances:
            raise ValueError(f'sample index {int(self._batch_ids.max())} is out of range: the head has {num_instances} '
                             'rows, one for each image of the data set that training started with')
        # rank r has every R-th sample of the stream
        in_order = rows.activate(self._batch_ids.T.contiguous(), upcoming, check)
        self._check, self._last_loss = check, torch.zeros_like(self._last_loss, device=self.weight.device)
        self._batch = ActiveBatch(in_order.slots.T.contiguous(), in_order.readable.T)
        self._batch_slots = self._batch.slots[..., None]
        if hard_classes is not None:
            self._batch_slots = torch.cat([self._batch_slots, hard_classes.of_batch(self._batch.slots)], 2)
        return self._batch_ids

    def check_finite(self) -> None:
        """Raise a ``FloatingPointError`` if a loss up to now was not finite.  Waits for the device."""
        self._check()
        LossCheck(self._last_loss)()

    def loss(self, features: Tensor, ids: Tensor, train_rows: bool = True) -> Tensor:
        """The mean loss over all ranks' samples and views.

        Args:
            features: ``[V, B, D]``, V views of this rank's samples.
            ids: ``[B]`` int64 on the CPU, as they were activated.
            train_rows: whether the loss sends a gradient into the rows.

        Returns:
            Tensor: a scalar, the same on every rank; backward gives the rows the gradient of it, and the features R
            times theirs, which DistributedDataParallel's mean over R ranks undoes.

        Raises:
            RuntimeError: if ``ids`` are not the batch that was activated.
        """
        _, ranks, rows, _, labels = self.allocated
        if self._batch is None or not torch.equal(self._batch_ids[ranks.rank].clamp(min=-1), ids):
            raise RuntimeError('the rows of this batch are not active: CosineInstanceHead.activate must see each batch '
                               "before the forward; add dict(type='InstanceRowsHook') to custom_hooks")
        with torch.autocast(features.device.type, enabled=False):
            weight = self.weight if train_rows else self.weight.detach()
            x = gather_features(features, ranks, weight.dtype).flatten(0, 2)  # [R * V * B, D]
            x = (F.normalize(x, dim=1) if self.cosine else x) / self.temperature
            num_views = len(features)
            readable = self._batch.readable[:, None].expand(-1, num_views, -1).flatten()  # [R * V * B]
            slots = self._batch_slots[:, None].expand(-1, num_views, -1, -1).flatten(0, 2)  # [R * V * B, L]
            num_readable = num_views * int((self._batch_ids >= 0).sum())
            if num_readable:
                losses = sharded_softmax_loss(x, weight, slots, labels, rows.active, self.cosine,
                                              1 / self.temperature if self.cosine else None, ranks,
                                              self.margin / self.temperature, self.uniform_smoothing,
                                              self._scratch.empty)
            else:  # there may be no class yet, and the gradient of a softmax of none is no number
                losses = 0 * (x.sum(1) + weight.sum())
            loss = losses.where(readable, 0).sum() / max(1, num_readable)
        self._last_loss += loss.detach()
        if self.observer is not None and train_rows:
            shape = ranks.size, num_views, len(ids)
            self.observer(SeenBatch(*(tensor.transpose(0, 1).flatten(0, 1) for tensor in (
                self._batch_ids, self._batch.slots, x.detach().unflatten(0, shape)[:, 0],
                losses.detach().unflatten(0, shape).mean(1)))))
        return loss

    def gather_rows(self) -> tuple[Tensor, Tensor]:
        """Weight and momentum of all N rows, up to date, in the order of ids: ``[N, D]`` each.  Collective.

        The whole table on every rank: for tests and analysis.
        """
        num_instances, ranks, rows, *_ = self.allocated
        mine = rows.present()
        share = len(block_of(0, num_instances, ranks.size))
        out = []
        for tensor in (mine.weight, mine.momentum):
            padded = torch.cat([tensor, tensor.new_zeros(share - len(tensor), tensor.shape[1])])
            out.append(ranks.all_gather(padded).flatten(0, 1)[:num_instances])
        return out[0], out[1]

    def _save_to_state_dict(self, *args: Any) -> None:
        """Nothing: the rows differ from rank to rank, and mmengine broadcasts and saves rank 0's state dict."""

    def _load_from_state_dict(self, *args: Any) -> None:
        """Nothing; see :meth:`_save_to_state_dict`."""
