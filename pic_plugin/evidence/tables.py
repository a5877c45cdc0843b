"""The tables of evidence: which config is which row, and what they look like with the figures in."""
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import yaml

from .runs import PROBES

Results = Mapping[tuple[str, int], Mapping[str, Any]]  # of (config, seed)

NOT_RUN = 'not run'
NUM_SEEDS = 3


class Row(NamedTuple):
    """A config, and the paper's figure beside it."""
    label: str
    config: str
    setting: str = ''  # of the paper, where it is another one
    paper: Optional[float] = None  # linear top-1 of ImageNet, percent
    curve: str = ''
    x: Optional[float] = None


class Table(NamedTuple):
    """A table of a paper."""
    name: str
    title: str
    rows: Sequence[Row]
    source: str = ''
    seeds: int = NUM_SEEDS
    x: str = ''  # what the plot's axis is; no plot of accuracies if empty
    losses: bool = False  # whether the losses are plotted
    measured: Sequence[str] = ()  # what else is, of an experiment's hook

    @property
    def heading(self) -> str:
        """With where it is from."""
        return f'{self.source}: {self.title[0].lower()}{self.title[1:]}' if self.source else self.title


class Claim(NamedTuple):
    """The same with and without one part."""
    claim: str
    source: str
    without: str
    with_: str
    paper: Sequence[float]


class Evidence(NamedTuple):
    """All of it."""
    claims: Sequence[Claim]
    tables: Sequence[Table]

    def runs(self, small: bool) -> list[tuple[str, int]]:
        """(config, seed) of each training: of the claims, then, unless ``small``, the rest; a seed after the other."""
        wanted = [(config, seed) for seed in range(NUM_SEEDS) for claim in self.claims
                  for config in (claim.without, claim.with_)]
        return list(dict.fromkeys(wanted if small else wanted + runs_of(self.tables)))

    def named(self, names: Collection[str]) -> list[Table]:
        """The tables of these names.

        Raises:
            ValueError: if there is no such table.
        """
        if lacking := sorted({*names} - {table.name for table in self.tables}):
            raise ValueError(f'there is no table {", ".join(lacking)}; there are '
                             f'{", ".join(table.name for table in self.tables)}')
        return [table for table in self.tables if table.name in names]


def runs_of(tables: Sequence[Table]) -> list[tuple[str, int]]:
    """(config, seed) of each training of the tables' rows, a seed after the other."""
    wanted = [(row.config, seed) for table in tables for row in table.rows for seed in range(table.seeds)]
    return sorted(dict.fromkeys(wanted), key=lambda run: run[1])


def read_evidence(configs: Path) -> Evidence:
    """What ``tables.yml`` in the folder of the configs says.

    Raises:
        ValueError: if a row names no config of the folder, a config is in no table, or a key is unknown or missing.
    """
    path = configs / 'tables.yml'
    content = yaml.safe_load(path.read_text())
    try:
        claims = [Claim(with_=claim.pop('with'), **claim) for claim in content['claims']]
        tables = [Table(rows=[Row(**row) for row in table.pop('rows')], **table) for table in content['tables']]
    except (TypeError, KeyError) as error:
        raise ValueError(f'{path} must have claims and tables, as of Claim, Table and Row: {error}') from error
    there = {config.stem for config in configs.glob('*.py')}
    named = {row.config for table in tables for row in table.rows}
    compared = {config for claim in claims for config in (claim.without, claim.with_)}
    if lacking := (named | compared) - there:
        raise ValueError(f'{path} must name configs of {configs}, and there is no {", ".join(sorted(lacking))}')
    if forgotten := there - named:
        raise ValueError(f'every config of {configs} must be in a table of {path}, which lacks '
                         f'{", ".join(sorted(forgotten))}')
    return Evidence(claims, tables)


def accuracies(results: Results, config: str, num_seeds: int, probe: str) -> list[float]:
    """In percent, of the seeds that were run."""
    return [100 * results[config, seed][probe] for seed in range(num_seeds) if (config, seed) in results]


def claims_table(claims: Collection[Claim], results: Results) -> str:
    """In Markdown: both sides of each claim, and what the papers have."""
    lines = [_line('what is added', *(f'{probe}, without → with' for probe in PROBES), 'difference, linear',
                   "the paper's", 'from')]
    lines.append('|---' * lines[0].count(' | ') + '|---|')
    for claim in claims:
        cells = [' → '.join(mean_and_spread(accuracies(results, config, NUM_SEEDS, probe), NUM_SEEDS)
                            for config in (claim.without, claim.with_)) for probe in PROBES]
        without, with_ = (accuracies(results, config, NUM_SEEDS, 'linear') for config in (claim.without, claim.with_))
        difference = f'**{np.mean(with_) - np.mean(without):+.1f}**' if without and with_ else ''
        theirs = f'{claim.paper[0]} → {claim.paper[1]}, {claim.paper[1] - claim.paper[0]:+.1f}'
        lines.append(_line(claim.claim, *cells, difference, theirs, claim.source))
    return '\n'.join(lines)


def table_of(table: Table, results: Results) -> str:
    """In Markdown."""
    curves = any(row.curve for row in table.rows)
    paper = any(row.paper for row in table.rows)
    lines = [_line('setting', *PROBES, *["the paper's setting", "the paper's linear"] * paper, 'config')]
    lines.append('|---' * lines[0].count(' | ') + '|---|')
    for row in table.rows:
        label = f'{row.label}, {row.curve}' if curves and row.curve not in row.label else row.label
        cells = [mean_and_spread(accuracies(results, row.config, table.seeds, probe), table.seeds) for probe in PROBES]
        theirs = [row.setting, '' if row.paper is None else f'{row.paper}'] * paper
        lines.append(_line(label, *cells, *theirs, f'`{row.config}`'))
    return '\n'.join(lines)


def mean_and_spread(values: Sequence[float], wanted: int) -> str:
    """Percent, and the standard deviation of the runs; says how many there are where it is not all."""
    if not values:
        return NOT_RUN
    text = f'{np.mean(values):.1f}' + (f' ± {np.std(values):.1f}' if len(values) > 1 else '')
    return text if len(values) == wanted else f'{text} ({len(values)} of {wanted} runs)'


def _line(*cells: str) -> str:
    return '| ' + ' | '.join(cells) + ' |'
