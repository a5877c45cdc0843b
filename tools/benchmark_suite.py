"""Evaluate a backbone by all protocols, one after the other, and print the papers' tables with its figures.

    python tools/benchmark_suite.py work_dirs/pic_r50_8xb64_200e/backbone.pth --gpus 8

A protocol whose data set is not there is left out, with the reason.  The same command goes on where it was stopped.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Optional

from mmengine.config import Config
from protocols import SUITES, Protocol, Table

from pic_plugin.commands.options import ConfigOptions
from pic_plugin.datasets import missing_data
from pic_plugin.engine.checksums import sha256
from pic_plugin.visualization.curves import read_scalars

_ROOT = Path(__file__).resolve().parents[1]
_RANDOM = 'random weights'
_Outcome = dict[str, float]


def parse_args() -> argparse.Namespace:
    """The options; those of tools/train.py go to each training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', type=Path, help='a backbone.pth')
    parser.add_argument('--suite', choices=list(SUITES), default='imagenet')
    parser.add_argument('--only', nargs='+', metavar='PROTOCOL', help='leave out the others')
    parser.add_argument('--random', action='store_true', help='also start from random weights, for comparison')
    parser.add_argument('--gpus', type=int, default=1, help='of this machine; with --cpu, how many processes')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/benchmark_suite'))
    parser.add_argument('--auto-scale-lr', action='store_true', help='if there are fewer GPUs than the configs name')
    parser.add_argument('--amp', nargs='?', const='auto', choices=['auto', 'bf16', 'fp16'],
                        help='automatic mixed precision')
    parser.add_argument('--cpu', action='store_true', help='train on the CPU, whether there are GPUs or not')
    parser.add_argument('--cfg-options', nargs='+', default=[], help='for every config')
    args = parser.parse_args()
    names = [protocol.name for table in SUITES[args.suite] for protocol in table.protocols]
    if unknown := set(args.only or []).difference(names):
        raise ValueError(f'--only must name protocols of the suite {args.suite}, which are {", ".join(names)}; got '
                         f'{", ".join(sorted(unknown))}')
    if not args.checkpoint.is_file():
        raise ValueError(f'the checkpoint must be a file, and there is no {args.checkpoint.resolve()}')
    return args


def reason_to_skip(protocol: Protocol, options: Sequence[str]) -> Optional[str]:
    """What a protocol lacks on this machine, None if nothing."""
    path = _ROOT / 'configs' / protocol.config
    if not path.is_file():
        return f'there is no config {path}'
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(parsed(options))
    if find_spec(cfg.default_scope) is None:
        return f'{cfg.default_scope} is not installed'
    return '; '.join(missing_data(cfg)) or None


def parsed(options: Sequence[str]) -> dict:
    """``a.b=1`` as tools/train.py understands it."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='*', action=ConfigOptions)
    return parser.parse_args(['--cfg-options', *options]).cfg_options or {}


def random_options(protocol: Protocol) -> Iterator[str]:
    """Options that start each part of the network which a checkpoint would fill from He's random weights."""
    hooks = Config.fromfile(_ROOT / 'configs' / protocol.config).custom_hooks
    hook = next(hook for hook in hooks if hook['type'].endswith('CheckBackboneHook'))
    for module in hook.get('modules', ['backbone']):
        for setting in ('_delete_=True', 'type=Kaiming', 'layer=Conv2d'):
            yield f'model.{module}.init_cfg.{setting}'


def train(protocol: Protocol, checkpoint: Optional[Path], work_dir: Path, args: argparse.Namespace) -> _Outcome:
    """Run a protocol to its end, or go on with it; the progress goes to the terminal, the rest to ``output.log``.

    Raises:
        RuntimeError: if it failed.
    """
    done = work_dir / 'metrics.json'
    if done.is_file():
        return json.loads(done.read_text())
    options = [*args.cfg_options, *([] if checkpoint else random_options(protocol))]
    config = str(_ROOT / 'configs' / protocol.config)
    command = [sys.executable, str(_ROOT / 'tools/train.py'), config] if args.gpus == 1 else \
        [str(_ROOT / 'tools/dist_train.sh'), config, str(args.gpus)]
    command += ['--work-dir', str(work_dir), '--resume', *(['--auto-scale-lr'] if args.auto_scale_lr else []),
                *(['--amp', args.amp] if args.amp else []),
                *(['--cpu'] if args.cpu else []), *(['--cfg-options', *options] if options else [])]
    environment = {**os.environ, 'CHECKPOINT': str(checkpoint.resolve()) if checkpoint else 'none',
                   'PYTHONPATH': os.pathsep.join([str(_ROOT), os.environ.get('PYTHONPATH', '')])}
    work_dir.mkdir(parents=True, exist_ok=True)
    with (work_dir / 'output.log').open('a') as log, subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            log.write(line)
            lines.append(line.rstrip())
            if progress := re.search(r'(Epoch|Iter)\((train|val)\).*', line):
                print(f'    {progress[0]}', flush=True)
    if process.returncode:
        error = next((line for line in reversed(lines) if re.match(r'\w+(\.\w+)*(Error|Exception)\b', line)),
                     f'exit status {process.returncode}')
        raise RuntimeError(f'{error} (see {work_dir / "output.log"})')
    metrics = last_metrics(protocol, work_dir)
    done.with_suffix('.partial').write_text(json.dumps(metrics))
    os.replace(done.with_suffix('.partial'), done)
    return metrics


def last_metrics(protocol: Protocol, work_dir: Path) -> _Outcome:
    """In percent, by heading."""
    logged = [entry for entry in read_scalars(work_dir) if all(metric.key in entry for metric in protocol.metrics)]
    if not logged:
        raise RuntimeError(f'no {", ".join(metric.key for metric in protocol.metrics)} was logged in {work_dir}')
    return {metric.heading: logged[-1][metric.key] * metric.unit for metric in protocol.metrics}


def markdown(table: Table, outcomes: dict[str, dict[str, _Outcome]]) -> str:
    """The published rows, and below them those of ``outcomes[row][protocol]``."""
    rows: dict[str, list[str]] = {}
    for protocol in table.protocols:
        rows.update({method: [] for method in protocol.published if method not in rows})
    rows.update({row: [] for row in outcomes})
    header = ['']
    for protocol in table.protocols:
        header += [f'{protocol.heading} {metric.heading}' for metric in protocol.metrics]
        for row, cells in rows.items():
            figures = outcomes[row].get(protocol.name, {}) if row in outcomes else {
                metric.heading: figure for metric, figure in zip(protocol.metrics, protocol.published.get(row, ()))}
            for metric in protocol.metrics:
                figure = figures.get(metric.heading)
                cells.append('-' if figure is None else f'{figure:.1f}')
    lines = [header, ['---'] * len(header), *([row, *cells] for row, cells in rows.items())]
    return f'{table.title}\n\n' + '\n'.join(f'| {" | ".join(line)} |' for line in lines) + '\n'


def main() -> int:
    """Run, print, write; 1 if a protocol failed."""
    args = parse_args()
    tables = SUITES[args.suite]
    name = f'{args.checkpoint.stem}-{sha256(args.checkpoint)[:8]}'  # another checkpoint never finds this one's runs
    starts = {name: args.checkpoint, **({_RANDOM: None} if args.random else {})}
    todo, notes = [], []
    for protocol in (protocol for table in tables for protocol in table.protocols):
        if args.only and protocol.name not in args.only:
            continue
        if reason := reason_to_skip(protocol, args.cfg_options):
            notes.append(f'{protocol.name} was left out: {reason}')
            print(notes[-1], flush=True)
        else:
            todo += [(protocol, start) for start in starts]
    outcomes: dict[str, dict[str, _Outcome]] = {start: {} for start in starts}
    failed = 0
    for number, (protocol, start) in enumerate(todo, 1):
        print(f'[{number}/{len(todo)}] {protocol.name} from {start}: {protocol.config}', flush=True)
        begin = time.monotonic()
        try:
            work_dir = args.work_dir / args.suite / start.replace(' ', '-') / protocol.name
            outcomes[start][protocol.name] = train(protocol, starts[start], work_dir, args)
            figures = ', '.join(f'{key} {value:.1f}' for key, value in outcomes[start][protocol.name].items())
            print(f'    {figures} ({(time.monotonic() - begin) / 60:.1f} min)', flush=True)
        except RuntimeError as error:
            failed += 1
            notes.append(f'{protocol.name} from {start} failed: {error}')
            print(f'    {notes[-1]}', flush=True)
    text = '\n'.join([*(markdown(table, outcomes) for table in tables), *notes])
    print(f'\n{text}')
    path = args.work_dir / f'{args.suite}-{name}.md'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.rstrip() + '\n')
    print(f'\n{path}: the above')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
