"""The results that are kept with the code, and the page that shows them."""
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pic_plugin.model_zoo.tables import replace_between
from pic_plugin.whole_file import whole_file

from .plots import plot
from .runs import Run, result_of
from .tables import NOT_RUN, Evidence, claims_table, table_of

PAGE, README = Path('docs/evidence.md'), Path('README.md')
RESULTS = Path('docs/evidence')  # a file for each config, and the plots

_OF_ALL_SEEDS = ('config', 'digest', 'fonts', 'torch')


def keep(runs: Iterable[Run], made: Path, root: Path) -> int:
    """Put the results of runs into ``docs/evidence``, beside those of other seeds; returns how many there were.

    Args:
        runs: of which those are taken that were made.
        made: where ``tools/evidence.py`` has put them.
        root: of the repository.
    """
    (root / RESULTS).mkdir(parents=True, exist_ok=True)
    taken = [result for run in runs if (result := result_of(run, made))]
    for config in dict.fromkeys(result['config'] for result in taken):
        path = root / RESULTS / f'{config}.json'
        new = {result['seed']: result for result in taken if result['config'] == config}
        first = next(iter(new.values()))
        if path.exists() and (old := json.loads(path.read_text()))['digest'] == first['digest']:
            new = {**{run['seed']: run for run in old['seeds']}, **new}
        seeds = [{key: value for key, value in new[seed].items() if key not in _OF_ALL_SEEDS} for seed in sorted(new)]
        _replace(path, json.dumps({**{key: first[key] for key in _OF_ALL_SEEDS}, 'seeds': seeds}) + '\n')
    return len(taken)


def kept(root: Path) -> dict[tuple[str, int], Mapping[str, Any]]:
    """The results in ``docs/evidence``, by (config, seed).

    Raises:
        ValueError: if one is of a config that was changed since, or of other fonts than the others.
    """
    results: dict[tuple[str, int], Mapping[str, Any]] = {}
    for path in sorted((root / RESULTS).glob('*.json')):
        content = json.loads(path.read_text())
        run = Run(root / 'configs/glyphs' / f'{content["config"]}.py', 0, content['fonts'])
        if not run.config.exists() or run.digest != content['digest']:
            raise ValueError(f'{path} has the results of another {run.config.name} than there is now: make its runs '
                             'again by tools/evidence.py, and keep them by tools/generate_evidence.py, or remove it')
        for seed in content['seeds']:
            results[content['config'], seed['seed']] = {**seed, 'fonts': content['fonts']}
    if len(fonts := {result['fonts'] for result in results.values()}) > 1:
        raise ValueError(f'all results must be of the same fonts, got {", ".join(sorted(fonts))}')
    return results


def page_of(text: str, evidence: Evidence, results: Mapping[tuple[str, int], Mapping[str, Any]]) -> str:
    """The page ``text`` with the tables between its markers.

    Raises:
        ValueError: if it has not the markers of each table.
    """
    runs = evidence.runs(small=False)
    missing = [run for run in runs if run not in results]
    said = f'{len(runs) - len(missing)} of {len(runs)} runs'
    if missing:
        said += f'; the others say "{NOT_RUN}", or how many there are'
    fonts = next((result['fonts'] for result in results.values()), NOT_RUN)
    text = replace_between(text, 'runs', f'{said}. Fonts `{fonts[:16]}`.')
    text = replace_between(text, 'claims', claims_table(evidence.claims, results))
    for table in evidence.tables:
        content = f'### {table.heading}\n\n{table_of(table, results)}'
        if (table.x or table.losses or table.measured) and any((row.config, 0) in results for row in table.rows):
            content += f'\n\n![{table.heading}]({RESULTS.name}/{table.name}.png)'
        text = replace_between(text, table.name, content)
    return text


def pages(evidence: Evidence, root: Path, results: Mapping[tuple[str, int], Mapping[str, Any]]) -> dict[Path, str]:
    """What is to stand in the page of evidence, and in README, which has the claims."""
    return {root / PAGE: page_of((root / PAGE).read_text(), evidence, results),
            root / README: replace_between((root / README).read_text(), 'claims',
                                           claims_table(evidence.claims, results))}


def write_pages(evidence: Evidence, root: Path) -> None:
    """Write the page, README's part of it, and the plots."""
    results = kept(root)
    for path, text in pages(evidence, root, results).items():
        _replace(path, text)
    for table in evidence.tables:
        plot(table, results, root / RESULTS / f'{table.name}.png')


def _replace(path: Path, text: str) -> None:
    with whole_file(path, replace=True) as partial:
        partial.write_text(text)
