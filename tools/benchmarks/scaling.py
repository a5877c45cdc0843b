"""The step against the number of images, from 10^5 to 10^9: time, memory, and what the table takes on the disk.

The file is sparse.  The run is a window's length into its training, so that rows leave and come back; in the window's
order and, for comparison, with every visit drawn at random from all images.
"""
import statistics
import sys
from typing import Any

import torch
from heads import Ours, sliding_window
from measure import Variant, machine, medians, memory_bytes, parse_args, report

_BEFORE = 128  # batches that are trained before anything is measured
_CALLS = 10  # steps of one size before it is the next one's turn


class Subject(Ours):
    """The head with a table on disk, and the ids of its visits."""

    def __init__(self, num_instances: int, args: Any) -> None:
        torch.set_num_threads(machine()['cores'])
        super().__init__(num_instances, args.channels, args.negatives, 'disk', fill=False)
        self.num_instances, self.args = num_instances, args
        self.features = torch.randn(args.batch_size, args.channels)
        self.start = args.negatives

    def visit(self, order: str) -> None:
        """Prepare the visits of the steps to come, and make the first of them, which are not measured."""
        num_ids = (_BEFORE + _CALLS * (self.args.repeats + 2) + 1) * self.args.batch_size
        if order == 'random':
            ids = torch.randint(0, self.num_instances, (num_ids, ), generator=torch.Generator().manual_seed(0))
        else:
            ids = sliding_window(self.num_instances, self.start, num_ids)
            self.start += num_ids
        self.batches = iter(zip(ids.split(self.args.batch_size), ids.split(self.args.batch_size)[1:]))
        for _ in range(_BEFORE):
            self.train()

    def train(self) -> float:
        """One step; the loss."""
        ids, upcoming = next(self.batches)
        return self.step(self.features.clone(), ids, upcoming)

    def resident(self) -> tuple[int, int]:
        """Bytes of this process now, and of these the ones that are no file's."""
        return memory_bytes('VmRSS'), memory_bytes('RssAnon')


def main() -> None:
    """All sizes take turns."""
    args = parse_args(str(__doc__), num_instances=[10**5, 10**6, 10**7, 10**8, 10**9], batch_size=64, channels=128,
                      negatives=65536, repeats=7)
    running = {n: Variant(Subject, n, args) for n in args.num_instances}
    rows = []
    for order in ('sliding window', 'random'):
        for n, variant in running.items():
            print(f'{order}: N = {n}', file=sys.stderr)
            variant.call('visit', order)

        def turn(variant: Variant) -> float:
            return statistics.median(variant.call('train')[0] for _ in range(_CALLS))

        seconds = medians({str(n): lambda v=variant: turn(v) for n, variant in running.items()},  # type: ignore[misc]
                          args.repeats)
        for n, variant in running.items():
            resident, anonymous = variant.call('resident')[1]
            rows.append({'visits': order, 'N': n, 'seconds': seconds[str(n)], 'resident MB': resident / 1e6,
                         'of it anonymous MB': anonymous / 1e6,
                         'on disk MB': variant.call('bytes_on_disk')[1] / 1e6,
                         'if all were visited GB': n * variant.call('bytes_per_row')[1] / 1e9})
    for variant in running.values():
        variant.close()
    summary = {}
    for order in ('sliding window', 'random'):
        of_order = [row for row in rows if row['visits'] == order and row['N'] >= 10**6]
        for what in ('seconds', 'resident MB'):
            summary[f'{order}: {what} at N = {of_order[-1]["N"]:.0e} / at {of_order[0]["N"]:.0e}'] = \
                of_order[-1][what] / of_order[0][what]
    report(args.out, 'scaling', rows, summary)


if __name__ == '__main__':
    main()
