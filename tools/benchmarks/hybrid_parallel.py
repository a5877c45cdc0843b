"""All classes in the softmax: rows shared out over the ranks, against a copy of them on every rank.

The shape of One-Million-Way's Table 1 and Figure 3: time and memory per rank against the number of classes and of
ranks, and the number of classes at which 32 GB would be full.  The replicated table is what DistributedDataParallel
makes of a dense parameter: every rank has all rows, compares its own samples with them, and sums up all gradients.
"""
import gc
import sys
import tempfile
import time
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from heads import SGD, TEMPERATURE, Head
from measure import parse_args, report
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pic_plugin.engine import WeightCorrectingOptimWrapper
from pic_plugin.functional.cosine_softmax import cosine_softmax_loss
from pic_plugin.models import CosineInstanceHead
from pic_plugin.sharding import Ranks

_WARM = 2
_GPU_BYTES = 32e9


class Sharded(Head):
    """The plugin's head with all classes: this rank's share of the rows."""

    def __init__(self, num_instances: int, args: Any) -> None:
        super().__init__()
        ranks = Ranks.of_world()
        self.head = CosineInstanceHead(None, args.channels, TEMPERATURE)
        self.wrapper = WeightCorrectingOptimWrapper(torch.optim.SGD(self.head.parameters(), fused=True, **SGD))
        self.wrapper.track_rows(self.head.weight, ranks)
        self.head.allocate_rows(num_instances, args.batch_size, self.wrapper, ranks, 0)

    def step(self, features: Tensor, ids: Tensor, upcoming: Any = None) -> float:
        """All ranks' samples against this rank's rows."""
        features.requires_grad_()
        self.head.activate(ids)
        loss = self.head.loss(features[None], ids)
        self.wrapper.update_params(loss)
        return loss.item()


class _Classifier(nn.Module):

    def __init__(self, num_instances: int, num_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_instances, num_channels).normal_(std=0.01))

    def forward(self, features: Tensor, ids: Tensor) -> Tensor:
        return cosine_softmax_loss(features, self.weight, ids, TEMPERATURE)


class Replicated(Head):
    """Every rank with all rows, by autograd, torch.optim.SGD and DistributedDataParallel."""

    def __init__(self, num_instances: int, args: Any) -> None:
        super().__init__()
        classifier = _Classifier(num_instances, args.channels)
        self.classifier = DistributedDataParallel(classifier) if dist.is_initialized() else classifier
        self.optimizer = torch.optim.SGD(self.classifier.parameters(), fused=True, **SGD)

    def step(self, features: Tensor, ids: Tensor, upcoming: Any = None) -> float:
        """This rank's samples against all rows."""
        features.requires_grad_()
        self.optimizer.zero_grad()
        loss = self.classifier(features, ids)
        loss.backward()
        self.optimizer.step()
        return loss.item()


KINDS = {'sharded': Sharded, 'replicated': Replicated}


def _rank_main(rank: int, kind: str, num_ranks: int, num_instances: int, folder: str, args: Any) -> None:
    torch.set_num_threads(1)
    if num_ranks > 1:
        dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=num_ranks)
    head = KINDS[kind](num_instances, args)
    mine = args.batch_size // num_ranks
    generator = torch.Generator().manual_seed(rank)
    seconds = []
    for _ in range(_WARM + args.steps):
        ids = torch.randint(0, num_instances, (mine, ), generator=generator)
        features = torch.randn(mine, args.channels, generator=generator)
        start = time.perf_counter()
        head.step(features, ids)
        seconds.append(time.perf_counter() - start)
    torch.save((float(np.median(seconds[_WARM:])), head.memory()), f'{folder}/{rank}.pt')
    if num_ranks > 1:
        gc.collect()  # groups that were made on the way, whose threads must not outlive Python
        dist.barrier()
        dist.destroy_process_group()


def measure(kind: str, num_ranks: int, num_instances: int, args: Any) -> dict[str, Any]:
    """A row of the table: the slowest and the largest of the ranks."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_rank_main, (kind, num_ranks, num_instances, folder, args), num_ranks)
        results = [torch.load(f'{folder}/{rank}.pt') for rank in range(num_ranks)]
    return {'rows': kind, 'ranks': num_ranks, 'N': num_instances, 'seconds': max(s for s, _ in results),
            'peak MB per rank': max(m for _, m in results) / 1e6}


def main() -> None:
    """All sizes, and where each kind would fill a GPU."""
    args = parse_args(str(__doc__), ranks=[1, 2, 4, 8], num_instances=[32768, 131072, 262144], channels=128,
                      batch_size=256, steps=5)
    rows = []
    for num_ranks in args.ranks:
        for num_instances in args.num_instances:
            for kind in KINDS:
                rows.append(measure(kind, num_ranks, num_instances, args))
                print(', '.join(f'{key} {value}' for key, value in rows[-1].items()), file=sys.stderr)
    limits: dict[tuple[str, int], float] = {}
    summary: dict[str, Any] = {'samples of all ranks per step': args.batch_size}
    for num_ranks in args.ranks:
        for kind in KINDS:
            of_kind = [row for row in rows if (row['rows'], row['ranks']) == (kind, num_ranks)]
            slope, start = np.polyfit([row['N'] for row in of_kind], [1e6 * row['peak MB per rank'] for row in of_kind],
                                      1)
            limits[kind, num_ranks] = (_GPU_BYTES - max(0, start)) / slope
            summary[f'{kind}, {num_ranks} ranks: bytes per class and rank'] = float(slope)
            summary[f'{kind}, {num_ranks} ranks: classes that fill 32 GB, in millions'] = \
                limits[kind, num_ranks] / 1e6
        last = {row['rows']: row['seconds'] for row in rows
                if (row['ranks'], row['N']) == (num_ranks, args.num_instances[-1])}
        summary[f'{num_ranks} ranks, N = {args.num_instances[-1]}: seconds replicated / sharded'] = \
            last['replicated'] / last['sharded']
        summary[f'{num_ranks} ranks: classes sharded / replicated'] = \
            limits['sharded', num_ranks] / limits['replicated', num_ranks]
    report(args.out, 'hybrid_parallel', rows, summary)


if __name__ == '__main__':
    main()
