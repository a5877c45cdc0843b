"""What a checkpoint of the rows costs: all of them, then what changed since, and reading it again."""
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Optional

import torch
from heads import Ours, sliding_window
from measure import Variant, machine, parse_args, report, seconds_of

from pic_plugin.engine.row_checkpoint import SavedRows, load_rows, save_rows
from pic_plugin.sharding import Ranks


class Subject(Ours):
    """A head whose rows have all been visited, and its checkpoints."""

    def __init__(self, num_instances: int, table: str, args: Any) -> None:
        torch.set_num_threads(machine()['cores'])
        super().__init__(num_instances, args.channels, args.negatives, table, fill=True)
        self.num_instances = num_instances
        self.saved: Optional[SavedRows] = None

    def train(self, num_visits: int) -> int:
        """Let some rows change; how many."""
        self.wrapper.step_log.append(0.03, 0.9, 1e-4)
        ids = sliding_window(self.num_instances, 10**6, num_visits)
        for batch in ids.split(4096):
            self.head.activate(batch)
        return len(ids.unique())

    def save(self, folder: Path, everything: bool) -> tuple[int, int]:
        """Write a checkpoint of everything, or of what has changed; rows and bytes that are new in it."""
        rows = self.head.allocated.rows
        rows.settle()
        previous = None if everything else self.saved
        self.saved = save_rows(folder, rows, len(self.wrapper.step_log), Ranks(), previous)
        new = folder / f'{len(self.saved.segments) - 1:03d}'
        return self.saved.segments[-1], sum(path.stat().st_size for path in new.rglob('*'))

    def load(self) -> int:
        """Read all rows, as on resume; how many."""
        assert self.saved is not None
        template = self.table.read(torch.arange(0))
        return sum(len(ids) for ids, _ in load_rows(self.saved, self.table.block, template, Ranks()))


def main() -> None:
    """Write all, train, write what changed, and read."""
    args = parse_args(str(__doc__), num_instances=[1281167], visits=400000, channels=128, negatives=65536)
    results = []
    with tempfile.TemporaryDirectory(dir='.') as name:
        folder = Path(name)
        for num_instances in args.num_instances:
            for table in ('memory', 'disk'):
                variant = Variant(Subject, num_instances, table, args)
                for what in ('all rows, first', 'all rows, again', 'what changed'):
                    os.sync()
                    before = variant.call('memory')[1]
                    seconds, (num_rows, num_bytes) = variant.call('save', folder / table / what, what != 'what changed')
                    results.append({'N': num_instances, 'table': table, 'checkpoint': what, 'rows': num_rows,
                                    'MB': num_bytes / 1e6, 'seconds': seconds, 'MB per second':
                                    num_bytes / 1e6 / seconds, 'peak memory grows by MB':
                                    (variant.call('memory')[1] - before) / 1e6})
                    variant.call('train', args.visits)
                seconds, num_rows = variant.call('load')
                results.append({**dict.fromkeys(results[-1]), 'N': num_instances, 'table': table,
                                'checkpoint': 'read both', 'rows': num_rows, 'seconds': seconds})
                variant.close()
        write_seconds = seconds_of(lambda: _write(folder / 'plain', results[0]['MB']))
        shutil.rmtree(folder / 'memory')
    report(args.out, 'checkpoint', results, {'seconds to write and flush as many bytes as all rows': write_seconds})


def _write(path: Path, num_megabytes: float) -> None:
    block = bytes(1 << 20)
    with path.open('wb') as file:
        for _ in range(int(num_megabytes * 1e6) >> 20):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


if __name__ == '__main__':
    main()
