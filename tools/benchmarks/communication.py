"""Bytes that a step of the head moves between ranks, counted, and beside them what the loopback interface carried."""
import gc
import pickle
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from heads import SGD, TEMPERATURE, sliding_window
from measure import parse_args, report

from pic_plugin.engine import WeightCorrectingOptimWrapper
from pic_plugin.models import CosineInstanceHead
from pic_plugin.sharding import Ranks

_WARM = 2
_LARGER = 4  # times K, or N, in the runs that must move as many bytes
_PARTS = {
    'ids': ('activate', 'all_gather_into_tensor'),
    'features forward': ('loss', 'all_gather_into_tensor'),
    'softmax numbers': ('loss', 'all_reduce'),
    'features backward': ('backward', 'reduce_scatter_tensor'),
}


def ring_all_reduce(num_bytes: int, num_ranks: int) -> float:
    """Bytes that each rank receives, and sends, until all have the sum of the ranks' tensors of ``num_bytes``."""
    return 2 * num_bytes * (num_ranks - 1) / num_ranks


# from what a collective is called with, the bytes that this rank receives
_RECEIVED: dict[str, Callable[..., float]] = {
    'all_gather_into_tensor': lambda out, tensor: out.nbytes - tensor.nbytes,
    'all_reduce': lambda tensor, _: ring_all_reduce(tensor.nbytes, dist.get_world_size()),
    # gloo sends what an all-reduce does: the loopback shows the difference
    'reduce_scatter_tensor': lambda out, tensor: tensor.nbytes - out.nbytes,
    'all_gather_object': lambda out, value: (len(out) - 1) * len(pickle.dumps(value)),
}


class CountedHead:
    """One rank's head and its optimizer, with a count of what they receive.

    Attributes:
        received: bytes, by the part of the step and the collective.
    """

    def __init__(self, num_negatives: int, num_instances: int, batch_size: int, num_channels: int) -> None:
        self.ranks = Ranks.of_world()
        self.received: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._shape = 1, batch_size, num_channels
        self._part = ''
        self.head = CosineInstanceHead(num_negatives, num_channels, TEMPERATURE)
        self.wrapper = WeightCorrectingOptimWrapper(torch.optim.SGD(self.head.parameters(), **SGD))
        self.wrapper.track_rows(self.head.weight, self.ranks)
        global_batch = batch_size * self.ranks.size
        self.head.allocate_rows(num_instances, global_batch, self.wrapper, self.ranks, seed=0)
        first = num_negatives // self.ranks.size * self.ranks.size
        self.head.activate(sliding_window(num_instances, 0, first)[self.ranks.rank::self.ranks.size])
        self._batches = (sliding_window(num_instances, start, global_batch)[self.ranks.rank::self.ranks.size]
                         for start in range(first, sys.maxsize, global_batch))
        self._upcoming = next(self._batches)

    def step(self) -> None:
        """One step."""
        ids, self._upcoming = self._upcoming, next(self._batches)
        features = torch.randn(self._shape, requires_grad=True)
        with ExitStack() as stack:
            for name in _RECEIVED:
                stack.enter_context(patch.object(dist, name, self._counted(name)))
            self._part = 'activate'
            self.head.activate(ids, self._upcoming)
            self._part = 'loss'
            loss = self.head.loss(features, ids)
            self._part = 'backward'
            self.wrapper.backward(loss)
            self._part = 'step'
            self.wrapper.step()
            self.wrapper.zero_grad()

    def _counted(self, name: str) -> Callable[..., Any]:
        collective = getattr(dist, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.received[self._part, name] += _RECEIVED[name](*args)
            return collective(*args, **kwargs)

        return counted


def carried() -> int:
    """Bytes that the loopback interface has carried since the machine started."""
    lines = Path('/proc/net/dev').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.split()[0] == 'lo:')


def count(num_negatives: int, num_instances: int, args: Any) -> dict[str, float]:
    """Bytes that this rank received in a step, by part, and in all; and what the loopback carried for all ranks."""
    head = CountedHead(num_negatives, num_instances, args.batch_size, args.channels)
    for _ in range(_WARM):
        head.step()
    head.received.clear()
    dist.barrier()
    before = carried()
    dist.barrier()  # no rank goes on before all have looked
    for _ in range(args.steps):
        head.step()
    dist.barrier()
    total = {'loopback': carried() - before, 'counted': sum(head.received.values()),
             **{name: head.received[part] for name, part in _PARTS.items()}}
    return {name: num_bytes / args.steps for name, num_bytes in total.items()}


def sizes(args: Any) -> list[tuple[int, int]]:
    """K and N of the runs."""
    num_negatives, num_instances = args.negatives, args.num_instances
    return [(num_negatives, num_instances), (_LARGER * num_negatives, num_instances),
            (num_negatives, _LARGER * num_instances)]


def _rank_main(rank: int, num_ranks: int, folder: str, args: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=num_ranks)
    counts = [count(*size, args) for size in sizes(args)]
    if rank == 0:
        torch.save(counts, f'{folder}/counts.pt')
    gc.collect()  # groups that were made on the way, whose threads must not outlive Python
    dist.barrier()
    dist.destroy_process_group()


def measure(num_ranks: int, args: Any) -> list[dict[str, Any]]:
    """A row for each K and N."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_rank_main, (num_ranks, folder, args), num_ranks)
        counts = torch.load(f'{folder}/counts.pt')
    rows = []
    for (num_negatives, num_instances), bytes_of in zip(sizes(args), counts):
        counted = bytes_of['counted']
        row = {'ranks': num_ranks, 'K': num_negatives, 'N': num_instances,
               **{name: round(bytes_of[name]) for name in _PARTS},
               'anything else': round(counted - sum(bytes_of[name] for name in _PARTS)),
               'total': round(counted), 'loopback per rank': round(bytes_of['loopback'] / num_ranks)}
        for name, num_rows in (('K', num_negatives), ('N', num_instances)):
            dense = ring_all_reduce(num_rows * args.channels * torch.float32.itemsize, num_ranks)
            row[f'DDP, {name} x D'] = round(dense)
            row[f'DDP, {name} x D / total'] = dense / counted if counted else None
        rows.append(row)
    return rows


def main() -> None:
    """Count for each number of ranks, and report."""
    args = parse_args(str(__doc__), ranks=[1, 2, 4, 8], batch_size=64, channels=128, negatives=4096,
                      num_instances=20000, steps=20)
    rows: list[dict[str, Any]] = []
    independent, on_the_wire = True, []
    for num_ranks in args.ranks:
        of_ranks = measure(num_ranks, args)
        independent &= len({row['total'] for row in of_ranks}) == 1
        on_the_wire += [row['loopback per rank'] / row['total'] for row in of_ranks if row['total']]
        rows += of_ranks
        print(f'{num_ranks} ranks: {of_ranks[0]["total"]} bytes per step and rank', file=sys.stderr)
    report(args.out, 'communication', rows, {
        'what is counted': 'bytes that a rank receives per step: (R - 1) n of an all-gather of n bytes from each rank, '
                           '2 n (R - 1) / R of an all-reduce of n bytes (a ring), of DDP over float32 gradients too, '
                           'and half of that of a reduce-scatter, which gloo does by an all-reduce',
        f'the same total with {_LARGER} x K and with {_LARGER} x N': independent,
        'loopback / total, at least': min(on_the_wire, default=None),
        'loopback / total, at most': max(on_the_wire, default=None),
    })


if __name__ == '__main__':
    main()
