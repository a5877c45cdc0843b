"""Train what the tables of evidence need, and print them.  What was run already, with this config, is not run again.

The tables are configs/glyphs/tables.yml's, the data what tools/dataset_converters/write_glyphs.py writes.
"""
import argparse
import os

# before torch and OpenCV start their threads: there are as many processes as cores
os.environ['OMP_NUM_THREADS'] = '1'

import json
import multiprocessing as mp
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from mmengine.config import Config

from pic_plugin.evidence.runs import PROBES, Run, backbone_of, make, result_of, with_earlier
from pic_plugin.evidence.tables import claims_table, read_evidence, runs_of, table_of

CONFIGS = Path('configs/glyphs')
DATA = Path('data/glyphs')


def cost_of(run: Run, num_images: int) -> int:
    """About the views of a run, trained on or evaluated; enough to tell how long the rest will take."""
    cfg = Config.fromfile(run.config, import_custom_modules=False)
    pipeline = cfg.train_dataloader.dataset.pipeline
    num_views = sum(transform.get('num_views', [0])[0] for transform in pipeline) or 1

    def number(part: str) -> int:
        ann_file = cfg[f'{part}_dataloader'].dataset.get('ann_file')
        if not ann_file:
            return num_images
        if not (path := DATA / ann_file).exists():
            raise ValueError(f'there is no {path}, which {run.config} reads: make glyphs adds lists')
        return len(path.read_text().splitlines())

    return number('train') * cfg.train_cfg.max_epochs * num_views + number('bank') + number('query')


def run_all(runs: Sequence[Run], out: Path, num_images: int, num_processes: int) -> list[str]:
    """Make the runs that are not in ``out``; returns the names of those that failed."""
    earlier = {run: run.earlier for run in with_earlier(run for run in runs if result_of(run, out) is None)}
    needed = set(earlier.values())  # with their backbones
    waiting = [run for run in earlier if result_of(run, out) is None or
               (run in needed and not backbone_of(run, out).exists())]
    costs = {run: cost_of(run, num_images) for run in waiting}
    num_there = len(set(runs) - earlier.keys())
    print(f'{len(runs)} runs, {num_there} of them there already; {num_processes} at once', flush=True)
    failed, spent, start = [], 0.0, time.monotonic()
    running: dict[Future, Run] = {}
    with ProcessPoolExecutor(num_processes, mp_context=mp.get_context('spawn')) as pool:
        while waiting or running:
            unmade = {*waiting, *running.values()}
            for run in [run for run in waiting if earlier[run] not in unmade][:num_processes - len(running)]:
                waiting.remove(run)
                running[pool.submit(make, run, out, run in needed)] = run
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                run = running.pop(future)
                spent += costs[run]
                left = (time.monotonic() - start) / spent * (sum(costs.values()) - spent)
                try:
                    result = future.result()
                    said = ', '.join(f'{probe} {100 * result[probe]:.1f}' for probe in PROBES)
                except Exception as error:  # of one run: the others go on
                    failed.append(run.name)
                    said = f'failed: {error!r}'
                done = len(costs) - len(waiting) - len(running)
                print(f'{done}/{len(costs)}, {left / 60:.0f} min left: {run.config.stem}, seed {run.seed}: {said}',
                      flush=True)
    return failed


def main() -> None:
    """Run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path, nargs='?', default=Path('work_dirs/evidence'), help='folder of the results')
    parser.add_argument('--all', action='store_true', help="all of the papers' tables, and not the main claims alone")
    parser.add_argument('--tables', nargs='+', metavar='NAME', help='these tables of tables.yml alone')
    parser.add_argument('--processes', type=int, default=os.cpu_count(), help='at once; as many as cores by default')
    args = parser.parse_args()
    if not (DATA / 'fonts.json').exists():
        raise ValueError(f'there are no glyphs in {DATA}: python tools/dataset_converters/write_glyphs.py FONTS {DATA}')
    data = json.loads((DATA / 'fonts.json').read_text())
    evidence = read_evidence(CONFIGS)
    args.out.mkdir(parents=True, exist_ok=True)
    tables = evidence.named(args.tables) if args.tables else evidence.tables if args.all else ()
    wanted = runs_of(tables) if args.tables else evidence.runs(not args.all)
    runs = [Run(CONFIGS / f'{config}.py', seed, data['sha256']) for config, seed in wanted]
    failed = run_all(runs, args.out, data['images']['train'], args.processes)
    results = {(run.config.stem, run.seed): result for run in runs if (result := result_of(run, args.out))}
    print(f'\nAccuracy in percent, mean ± spread of the seeds; fonts {data["sha256"][:16]}')
    if not args.tables:
        print(f'\n{claims_table(evidence.claims, results)}')
    for table in tables:
        print(f'\n{table.heading}\n\n{table_of(table, results)}')
    if failed:
        raise SystemExit(f'failed: {", ".join(failed)}')


if __name__ == '__main__':
    main()
