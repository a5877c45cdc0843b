"""What the benchmarks have in common: variants that take turns, the machine's description, a table and a JSON file."""
import argparse
import json
import multiprocessing as mp
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch


def parse_args(description: str, **defaults: Any) -> argparse.Namespace:
    """``--out``, the folder for the results, and an option for each of ``defaults``, which may be lists."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/benchmarks'), help='folder of the JSON files')
    for name, default in defaults.items():
        several = isinstance(default, list)
        kind = type(default[0] if several else default)
        parser.add_argument(f'--{name.replace("_", "-")}', type=kind, default=default, nargs='+' if several else None)
    return parser.parse_args()


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    cpu = [line.split(':')[1].strip() for line in lines if line.startswith('model name')]
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    return {
        'processor': cpu[0] if cpu else platform.processor(), 'cores': os.cpu_count(), 'memory_gb': round(memory / 1e9),
        'accelerator': torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        'torch': torch.__version__, 'threads': torch.get_num_threads(), 'system': platform.platform()
    }


def memory_bytes(name: str) -> int:
    """A figure of this process from the system: ``VmRSS``, its peak ``VmHWM``, or ``RssAnon`` (no file's pages)."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(name + ':'):
            return int(line.split()[1]) * 1024
    raise ValueError(f'the system does not tell {name}')


def _serve(connection: Connection, build: Callable[..., Any], args: tuple) -> None:
    subject = build(*args)
    while (method := connection.recv()) is not None:
        start = time.perf_counter()
        result = getattr(subject, method[0])(*method[1])
        connection.send((time.perf_counter() - start, result))


class Variant:
    """An object that lives in a process of its own, so that its memory can be told from the others'.

    Args:
        build: a class or function at the top level of a module.
        args: what it is called with, there.
    """

    def __init__(self, build: Callable[..., Any], *args: Any) -> None:
        self._connection, theirs = mp.Pipe()
        self._process = mp.get_context('spawn').Process(target=_serve, args=(theirs, build, args), daemon=True)
        self._process.start()
        theirs.close()

    def call(self, method: str, *args: Any) -> tuple[float, Any]:
        """Call a method of the object: the seconds that it took there, and what it returned."""
        self._connection.send((method, args))
        return self._connection.recv()

    def close(self) -> None:
        """End the process."""
        self._connection.send(None)
        self._process.join()


def medians(step: Mapping[str, Callable[[], float]], repeats: int, warm: int = 2) -> dict[str, float]:
    """Median seconds of each, taking turns: what disturbs the machine disturbs all of them."""
    seconds: dict[str, list[float]] = {name: [] for name in step}
    for _ in range(warm + repeats):
        for name, run in step.items():
            seconds[name].append(run())
    return {name: statistics.median(values[warm:]) for name, values in seconds.items()}


def seconds_of(function: Callable[[], Any]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the same keys as a table in Markdown."""
    lines = [list(rows[0])] + [[_text(value) for value in row.values()] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    lines.insert(1, ['-' * width for width in widths])
    return '\n'.join('| ' + ' | '.join(cell.ljust(width) for cell, width in zip(line, widths)) + ' |' for line in lines)


def _text(value: Any) -> str:
    if value is None:
        return '-'
    return f'{value:.4g}' if isinstance(value, float) else str(value)


def report(out: Path, name: str, rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> None:
    """Print the results, and write them to ``out/NAME.json`` with the machine's description."""
    print(f'\n## {name}\n\n{table(rows)}\n')
    for what, value in summary.items():
        print(f'{what}: {_text(value)}')
    print(f'machine: {", ".join(f"{key} {value}" for key, value in machine().items())}', flush=True)
    out.mkdir(parents=True, exist_ok=True)
    content = {'machine': machine(), 'summary': dict(summary), 'rows': [dict(row) for row in rows]}
    (out / f'{name}.json').write_text(json.dumps(content, indent=1) + '\n')
