"""The tables of README and docs, from the entries of the zoo."""
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .entries import Entry, Family

ZOO_PAGE, TABLES_PAGE = Path('docs/model_zoo.md'), Path('docs/tables.md')
_TABLE = re.compile(r'(PIC|Liu et al\.), (Table|Figure) (\d+)')


def readme_table(zoo: list[Family]) -> str:
    """What was trained, of the entries that say ``In README``."""
    return _measured(zoo, Path(), in_readme=True)


def zoo_page(zoo: list[Family]) -> str:
    """What was trained; what the papers have of the entries that say ``In README``; all entries, folded."""
    published = [[_link(entry, Path('..')), entry.summary, _results(entry.published)]
                 for family in zoo for entry in family.entries if entry.in_readme and entry.published]
    parts = ['## Trained here', _measured(zoo, Path('..')),
             "## The papers' main results", _table(['config', 'what', 'published'], published), '## All configs']
    for family in zoo:
        paper = f' [{family.paper["Title"]}]({family.paper["URL"]}).' if family.paper else ''
        rows = [[_link(entry, Path('..')), entry.summary, _metadata(entry.metadata), _results(entry.published),
                 entry.status] for entry in family.entries]
        parts += [f'### {family.name}', f'{family.summary}.{paper}',
                  f'<details markdown="1">\n<summary>{len(rows)} {"configs" if len(rows) > 1 else "config"}</summary>',
                  _table(['config', 'what', 'settings', 'published', 'status'], rows), '</details>']
    return '\n\n'.join(parts)


def _measured(zoo: list[Family], way_to_root: Path, in_readme: bool = False) -> str:
    rows = [[_link(entry, way_to_root), entry.summary, _datasets(entry), _results(entry.results, ''),
             _weights(entry, way_to_root)]
            for family in zoo for entry in family.entries if entry.results and (entry.in_readme or not in_readme)]
    return _table(['config', 'what', 'data', 'measured', 'weights'], rows)


def tables_page(zoo: list[Family]) -> str:
    """The papers' tables, row by row: PIC's before those of Liu et al., tables before figures, by number."""
    tables: dict[str, list[list[str]]] = defaultdict(list)
    for family in zoo:
        for entry in family.entries:
            for table, label in _rows(entry).items():
                small = f'[`{entry.in_small}`](evidence.md)' if entry.in_small else ''
                tables[table].append([label, _link(entry, Path('..')), _figures(entry, table), small])
    parts = []
    for table in sorted(tables, key=_place):
        rows = sorted(tables[table], key=lambda row: _natural(row[0]))
        parts += [f'## {table}', _table(['row', 'config', 'published', 'in small'], rows)]
    return '\n\n'.join(parts)


def _rows(entry: Entry) -> dict[str, str]:
    """Table -> row; the summary, where only the figures say which table it is."""
    named = (_TABLE.match(result['Source']) for result in entry.published)
    return {**{match[0]: entry.summary for match in named if match}, **entry.rows}


def _figures(entry: Entry, table: str) -> str:
    """Those that are of this table or, without any, of the same paper: a run that is in several has one figure."""
    match = _TABLE.fullmatch(table)
    if not match:
        raise ValueError(f'{entry.name}: Rows must name a table or figure, as in "PIC, Table 3", got {table!r}')
    if match[2] == 'Figure':
        return ''
    same_table = [result for result in entry.published if re.match(re.escape(table) + r'\b', result['Source'])]
    return _metrics(same_table or [result for result in entry.published if result['Source'].startswith(match[1])][:1])


def _metrics(results: Iterable[Mapping[str, Any]]) -> str:
    return '<br>'.join(', '.join(f'{name} {value}' for name, value in result['Metrics'].items()) for result in results)


def _natural(label: str) -> list[tuple[int, str]]:
    """Sorts 4,096 before 16,384."""
    return [(int(part.replace(',', '')), '') if part[:1].isdigit() else (-1, part)
            for part in re.split(r'(\d+(?:,\d{3})*)', label)]


def _place(table: str) -> tuple[bool, bool, int]:
    paper, kind, number = _TABLE.fullmatch(table).groups()  # type: ignore[union-attr]
    return paper != 'PIC', kind != 'Table', int(number)


def replace_between(text: str, name: str, content: str) -> str:
    """``text`` with ``content`` between its two markers, ``<!-- begin: NAME … -->`` and ``<!-- end: NAME -->``.

    Raises:
        ValueError: if it does not have each marker once.
    """
    begin, end = f'<!-- begin: {name}', f'<!-- end: {name} -->'
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f'the lines {begin} … --> and {end} were expected once each, to write between them')
    head, _, rest = text.partition(begin)
    marker, _, tail = rest.partition('-->')
    return f'{head}{begin}{marker}-->\n{content}\n{end}{tail.partition(end)[2]}'


def _link(entry: Entry, way_to_root: Path) -> str:
    return f'[`{entry.name}`]({(way_to_root / entry.config).as_posix()})'


def _metadata(metadata: Mapping[str, Any]) -> str:
    return '<br>'.join(f'{key}: {", ".join(map(str, value)) if isinstance(value, list) else value}'
                       for key, value in metadata.items())


def _results(results: Iterable[Mapping[str, Any]], where: str = ', {Dataset}') -> str:
    return '<br>'.join(f'{result["Task"]}{where.format_map(result)}: '
                       f'{", ".join(f"{name} {value}" for name, value in result["Metrics"].items())}{_source(result)}'
                       for result in results)


def _datasets(entry: Entry) -> str:
    """On which its figures were measured."""
    return ', '.join(dict.fromkeys(result['Dataset'] for result in entry.results))


def _source(result: Mapping[str, Any]) -> str:
    return f' ({result["Source"]})' if 'Source' in result else ''


def _weights(entry: Entry, way_to_root: Path) -> str:
    """A link, or how to make them; a path is of this repository."""
    if not entry.weights:
        return f'made by {entry.made_by}'
    return f'[download]({entry.weights if "://" in entry.weights else (way_to_root / entry.weights).as_posix()})'


def _table(header: list[str], rows: list[list[str]]) -> str:
    return '\n'.join('| ' + ' | '.join(row) + ' |' for row in [header, ['---'] * len(header), *rows])
