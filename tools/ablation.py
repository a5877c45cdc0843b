"""Train the digits with and without each part of the two papers, several seeds each, and compare the features.

Prints a table, and writes it with a plot into the output folder.  Runs that are there already are not made again.
"""
import argparse
import json
import logging
import multiprocessing as mp
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use('Agg')
import numpy as np
import torch
from matplotlib import pyplot as plt
from mmengine.config import Config
from mmengine.runner import Runner

from pic_plugin.evaluation.features import extract_features
from pic_plugin.evaluation.probes import Labelled, knn_accuracy, linear_accuracy

CONFIG = 'configs/one_million_way/omw_r18-3stage-w16_1xb128_20e_digits.py'
PRIOR = 'ContrastivePriorHook'
LINEAR_HEAD = {'model.neck': dict(type='LinearNeck', in_channels=64, out_channels=64, gap_dim=2, norm_cfg=None,
                                  _delete_=True)}
RECENT = {'model.head.num_negatives': 512, 'model.head.temperature': 0.2, 'model.head.label_smoothing': 0.0,
          'train_dataloader.sampler': dict(window_size=512, window_stride=128)}
# what is changed in the config, and whether there is a prior
VARIANTS: dict[str, tuple[dict[str, Any], bool]] = {
    'untrained': ({}, False),
    'all classes, MLP': ({'model.head.label_smoothing': 0.0}, False),
    'all classes, MLP, prior': ({'model.head.label_smoothing': 0.0}, True),
    'all classes, MLP, smoothing': ({}, False),
    'all classes, MLP, prior, smoothing': ({}, True),
    'all classes, prior, smoothing': (LINEAR_HEAD, True),
    'recent classes, correction': (RECENT, False),
    'recent classes': ({**RECENT, 'model.head.weight_correction': False}, False),
}
PROBES = {'kNN': knn_accuracy, 'linear': linear_accuracy}


class Run(NamedTuple):
    """One training."""
    variant: str
    num_epochs: int
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f'{self.variant.replace(", ", "-").replace(" ", "-")}_{self.num_epochs}e_seed{self.seed}'


def run_of(variant: str, length: int, seed: int) -> Run:
    """The untrained network is the same in front of each length."""
    return Run(variant, 0 if variant == 'untrained' else length, seed)


def config_of(run: Run, work_dir: Path) -> Config:
    """The config of a run; the learning rate's schedule ends with it."""
    changes, prior = VARIANTS[run.variant]
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict({
        **changes, 'work_dir': str(work_dir), 'experiment_name': run.name, 'randomness.seed': run.seed,
        'log_level': 'WARNING', 'train_dataloader.num_workers': 0, 'train_dataloader.persistent_workers': False,
        'train_cfg.max_epochs': run.num_epochs, 'default_hooks.checkpoint.interval': -1})
    cfg.param_scheduler[1].end = run.num_epochs
    if not prior:
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook['type'] != PRIOR]
    return cfg


def measure(run: Run, out: Path) -> dict[str, float]:
    """Train, and evaluate the backbone's features."""
    torch.set_num_threads(1)
    logging.captureWarnings(True)
    runner = Runner.from_cfg(config_of(run, out / run.name))
    if run.num_epochs == 0:
        runner._init_model_weights()
    else:
        runner.train()
    loaders = [Runner.build_dataloader(runner.cfg[name]) for name in ('bank_dataloader', 'query_dataloader')]
    data = Labelled(*(x for loader in loaders for x in extract_features(runner.model, loader)))
    result = {name: probe(data, run.seed) for name, probe in PROBES.items()}
    partial = out / f'{run.name}.partial'
    partial.write_text(json.dumps(result))
    partial.rename(out / f'{run.name}.json')
    return result


def results_of(runs: Sequence[Run], out: Path) -> dict[Run, dict[str, float]]:
    """Of all runs, as many at once as there are cores."""
    out.mkdir(parents=True, exist_ok=True)
    results = {run: json.loads(path.read_text()) for run in runs if (path := out / f'{run.name}.json').exists()}
    waiting = [run for run in runs if run not in results]
    start = time.monotonic()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=mp.get_context('spawn')) as pool:
        futures = {pool.submit(measure, run, out): run for run in waiting}
        for done, future in enumerate(as_completed(futures), 1):
            run = futures[future]
            results[run] = future.result()
            left = (time.monotonic() - start) / done * (len(waiting) - done)
            print(f'{done}/{len(waiting)} runs, eta {left:.0f} s: {run.name}', flush=True)
    return results


def table_of(results: dict[Run, dict[str, float]], lengths: Sequence[int], seeds: Sequence[int]) -> str:
    """In Markdown: mean ± spread over the seeds, in percent."""
    columns = [(probe, length) for length in lengths for probe in PROBES]
    lines = ['| variant | ' + ' | '.join(f'{probe}, {length} epochs' for probe, length in columns) + ' |',
             '|---|' + '---|' * len(columns)]
    for variant in VARIANTS:
        cells = []
        for probe, length in columns:
            values = [100 * results[run_of(variant, length, seed)][probe] for seed in seeds]
            cells.append(f'{np.mean(values):.1f} ± {np.std(values):.1f}')
        lines.append(f'| {variant} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def plot(results: dict[Run, dict[str, float]], lengths: Sequence[int], seeds: Sequence[int], path: Path) -> None:
    """A picture of the table: a panel for each probe, a point for each seed."""
    figure, axes = plt.subplots(1, len(PROBES), figsize=(12, 4), sharey=True, layout='constrained')
    for ax, probe in zip(axes, PROBES):
        for offset, length in zip(np.linspace(-0.15, 0.15, len(lengths)), lengths):
            values = np.array([[100 * results[run_of(variant, length, seed)][probe] for seed in seeds]
                               for variant in VARIANTS])
            places = np.arange(len(VARIANTS)) + offset
            ax.errorbar(values.mean(1), places, xerr=values.std(1), fmt='o', capsize=3, label=f'{length} epochs')
            ax.plot(values, places[:, None].repeat(len(seeds), 1), 'k.', markersize=3)
        ax.set(yticks=range(len(VARIANTS)), yticklabels=list(VARIANTS), xlabel=f'{probe} accuracy (%)')
        ax.grid(alpha=0.3)
    axes[0].invert_yaxis()
    axes[0].legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Run what is missing, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path, help='folder of the results')
    parser.add_argument('--lengths', type=int, nargs='+', default=[4, 20], help='epochs: few, and many')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    args = parser.parse_args()
    runs = list(dict.fromkeys(run_of(variant, length, seed) for length in reversed(args.lengths) for variant in VARIANTS
                              for seed in args.seeds))
    results = results_of(runs, args.out)
    table = table_of(results, args.lengths, args.seeds)
    print(f'\nAccuracy in percent, mean ± spread over {len(args.seeds)} seeds of the training\n\n{table}')
    (args.out / 'table.md').write_text(table + '\n')
    plot(results, args.lengths, args.seeds, args.out / 'ablation.png')
    print(f'{args.out / "ablation.png"}: the same as a picture')


if __name__ == '__main__':
    main()
