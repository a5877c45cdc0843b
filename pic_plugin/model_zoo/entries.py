"""Reads the zoo: ``model-index.yml`` and the ``metafile.yml`` of each family of configs."""
from pathlib import Path
from typing import Any, NamedTuple, Optional

import modelindex
from modelindex.models.ModelIndex import ModelIndex

TRAINED, CONVERTED, UNTRAINED = 'trained here', "converted from the authors'", 'not yet trained'


class Entry(NamedTuple):
    """One config, and what came of it.

    ``results`` are ours, ``published`` those of a paper.  Both are lists of ``Task``, ``Dataset`` and ``Metrics``;
    the published ones name their ``Source``.
    """

    name: str
    family: str
    config: Path  # from the root
    summary: str
    status: str
    metadata: dict[str, Any]
    results: list[dict[str, Any]]
    published: list[dict[str, Any]]
    in_readme: bool
    made_by: Optional[str]  # the commands
    weights: Optional[str]  # where to download them
    files: dict[str, str]  # name -> SHA-256
    num_tensors: Optional[int]  # of the backbone
    rows: dict[str, str]  # 'PIC, Table 3' -> which of its rows this is
    in_small: Optional[str]  # the config that has the same change, on data for two cores


class Family(NamedTuple):
    """A collection of the zoo."""

    name: str
    summary: str
    paper: dict[str, str]  # Title, URL
    entries: list[Entry]


def config_paths(root: Path) -> list[Path]:
    """All configs, from the root, but for those that others are built from, and experiments that a tables.yml lists."""
    return sorted(path.relative_to(root) for path in (root / 'configs').rglob('*.py')
                  if '_base_' not in path.parts and not (path.parent / 'tables.yml').exists())


def read_zoo(root: Path) -> list[Family]:
    """The families, in the order of their files.

    Args:
        root: the folder of ``model-index.yml``.

    Raises:
        ValueError: if a file cannot be read, lacks something or contradicts itself, or a config has no entry; all that
            is wrong is named.
    """
    index = modelindex.load(str(root / 'model-index.yml'))
    if not isinstance(index, ModelIndex):
        raise ValueError(f'{root}/model-index.yml must have Import: and the metafiles, got {type(index).__name__}')
    if errors := index.check(silent=True):
        raise ValueError('modelindex finds fault with the zoo: ' + '; '.join(errors))
    errors = []
    entries = [_entry(model.data, errors) for model in index.models]
    names = [entry.name for entry in entries]
    errors += [f'{name} has {names.count(name)} entries' for name in sorted(set(names)) if names.count(name) > 1]
    configs = config_paths(root)
    errors += [f'{config} has no entry in a metafile.yml' for config in configs
               if config not in {entry.config for entry in entries}]
    errors += [f'{entry.name}: there is no config {entry.config}' for entry in entries if entry.config not in configs]
    errors += [f'{collection.name}: Summary is missing' for collection in index.collections
               if not collection.data.get('Summary')]
    if errors:
        raise ValueError('the zoo is not in order: ' + '; '.join(errors))
    return [Family(collection.name, collection.data['Summary'], collection.paper or {},
                   [entry for entry in entries if entry.family == collection.name])
            for collection in index.collections]


def _entry(data: dict[str, Any], errors: list[str]) -> Entry:
    results = [result.data for result in data['Results']] if 'Results' in data else []
    entry = Entry(
        name=data['Name'], family=data.get('In Collection', ''), config=Path(data.get('Config', '')),
        summary=data.get('Summary', ''), status=data.get('Status', ''), results=results,
        metadata=data['Metadata'].data if 'Metadata' in data else {}, published=data.get('Published Results', []),
        in_readme=data.get('In README', False), made_by=data.get('Made By'), weights=data.get('Weights'),
        files=data.get('Files', {}), num_tensors=data.get('Tensors'), rows=data.get('Rows', {}),
        in_small=data.get('In Small'))
    trained = entry.status in (TRAINED, CONVERTED)
    faults = {
        'Name must be that of Config': entry.name != entry.config.stem,
        'In Collection must name one': not entry.family,
        'Summary is missing': not entry.summary,
        f'Status must be {TRAINED}, {CONVERTED} or {UNTRAINED}, got {entry.status!r}':
            not trained and entry.status != UNTRAINED,
        f'{UNTRAINED}, and yet it has Results, Weights or Files':
            not trained and bool(entry.results or entry.weights or entry.files),
        f'{entry.status}, and yet Made By is missing': trained and not entry.made_by,
        'Files need Tensors': bool(entry.files) and entry.num_tensors is None,
        'each of Published Results must have Task, Dataset, Metrics and Source':
            any({'Task', 'Dataset', 'Metrics', 'Source'} != set(result) for result in entry.published),
    }
    errors += [f'{entry.name}: {fault}' for fault, found in faults.items() if found]
    return entry
