"""Checks that the data sets that a config names are there."""
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.fileio import exists, join_path

from .archives import located


def check_data(cfg: Config) -> None:
    """Raise a ``ValueError`` that names the folders and files that a config's loaders need and that are not there."""
    if missing := list(missing_data(cfg)):
        raise ValueError('; '.join(missing))


def missing_data(cfg: Config) -> Iterator[str]:
    """Says of each folder or file that is missing which, and where the config names it."""
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        yield from _missing(cfg.get(loader), loader)


def _missing(node: Any, key: str) -> Iterator[str]:
    """In any of the toolboxes' data sets, and in those that wrap others."""
    if isinstance(node, (list, tuple)):
        node = dict(enumerate(node))
    if not isinstance(node, dict):
        return
    roots = node.get('data_root') or ''
    for root in roots if isinstance(roots, (list, tuple)) else [roots]:
        if root and not exists(located(root)):
            yield f'there is no {root}: put the data set there, or set {key}.data_root in --cfg-options'
        else:
            yield from _missing_below(root, node, key)
    for name, value in node.items():
        if name not in ('pipeline', 'data_prefix'):
            yield from _missing(value, f'{key}.{name}')


def _missing_below(root: str, node: dict, key: str) -> Iterator[str]:
    prefix = node.get('data_prefix') or {}
    below = {'ann_file': node.get('ann_file'),
             **({'data_prefix': prefix} if isinstance(prefix, str) else
                {f'data_prefix.{name}': value for name, value in prefix.items()})}
    for name, path in below.items():
        if isinstance(path, str) and path and not exists(located(join_path(root, path))):
            yield f'there is no {join_path(root, path)}, which {key}.{name} names'
