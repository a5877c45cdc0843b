"""The tables of README and docs, from the entries of the zoo."""
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .entries import UNTRAINED, Entry, Family

ZOO_PAGE, TABLES_PAGE = Path('docs/model_zoo.md'), Path('docs/tables.md')
_TABLE = re.compile(r'(PIC|Liu et al\.), (Table|Figure) (\d+)')


def readme_table(zoo: list[Family]) -> str:
    """Those entries that say ``In README``, with the first figure of each kind."""
    rows = [[_link(entry, Path()), entry.summary, _first(entry.published), _first(entry.results)]
            for family in zoo for entry in family.entries if entry.in_readme]
    return _table(['config', 'what', 'published', 'here'], rows)


def zoo_page(zoo: list[Family]) -> str:
    """All entries, family by family."""
    statuses = Counter(entry.status for family in zoo for entry in family.entries)
    parts = ['Of {} configs {}.'.format(statuses.total(), ', '.join(
        f'{count} {"is" if count == 1 else "are"} {status}' for status, count in sorted(statuses.items())))]
    for family in zoo:
        paper = f' [{family.paper["Title"]}]({family.paper["URL"]}).' if family.paper else ''
        parts.append(f'## {family.name}\n\n{family.summary}.{paper}')
        rows = [[_link(entry, Path('..')), entry.summary, _metadata(entry.metadata), _results(entry.published),
                 _results(entry.results), _status(entry)] for entry in family.entries]
        parts.append(_table(['config', 'what', 'settings', 'published', 'here', 'weights'], rows))
    return '\n\n'.join(parts)


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


def _results(results: Iterable[Mapping[str, Any]]) -> str:
    return '<br>'.join(f'{result["Task"]}, {result["Dataset"]}: '
                       f'{", ".join(f"{name} {value}" for name, value in result["Metrics"].items())}{_source(result)}'
                       for result in results)


def _first(results: Sequence[Mapping[str, Any]]) -> str:
    if not results:
        return ''
    return f'{results[0]["Task"]}: {next(iter(results[0]["Metrics"].values()))}{_source(results[0])}'


def _source(result: Mapping[str, Any]) -> str:
    return f' ({result["Source"]})' if 'Source' in result else ''


def _status(entry: Entry) -> str:
    if entry.status == UNTRAINED:
        return UNTRAINED
    where = f'[download]({entry.weights})' if entry.weights else f'not for download; made by {entry.made_by}'
    return f'{entry.status}: {where}'


def _table(header: list[str], rows: list[list[str]]) -> str:
    return '\n'.join('| ' + ' | '.join(row) + ' |' for row in [header, ['---'] * len(header), *rows])
