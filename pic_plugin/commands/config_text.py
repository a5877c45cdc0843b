"""A config as a person would write it: in sections, short where it fits, with a comment on what was chosen."""
from collections.abc import Iterable, Iterator, Mapping
from keyword import iskeyword
from typing import Any

_WIDTH = 120
_SECTIONS = {
    'images': ('train_dataloader', 'test_pipeline'),
    'network': ('model', ),
    'optimizer and schedule': ('optim_wrapper', 'param_scheduler', 'auto_scale_lr', 'train_cfg'),
    'log, checkpoints, and what else happens on the way': ('default_hooks', 'custom_hooks', 'visualizer', 'log_level'),
    'what pretrain was given: with --resume it must be given the same; training does not read it': ('started_with', ),
    'runtime': ('custom_imports', 'default_scope', 'env_cfg', 'work_dir', 'load_from', 'resume', 'randomness'),
}


def config_text(config: Mapping[str, Any], comments: Mapping[str, str], heading: str) -> str:
    """Python that mmengine's ``Config.fromfile`` reads as ``config``.

    Args:
        config: of a pre-training; what no ``Runner`` takes, such as the variables of base files, is left out.
        comments: dotted key -> what is said of it, above its line.
        heading: the comment at the top.
    """
    lines = [f'# {line}'.rstrip() for line in heading.splitlines()]
    for title, keys in _SECTIONS.items():
        if there := [key for key in keys if key in config]:
            lines += ['', f'# --- {title} ---']
        for key in there:
            lines += _lines(key, f'{key} = ', config[key], '', comments, 0)
    return '\n'.join(lines) + '\n'


def _lines(key: str, start: str, value: Any, end: str, comments: Mapping[str, str], depth: int) -> Iterator[str]:
    indent = '    ' * depth
    if key in comments:
        yield f'{indent}# {comments[key]}'
    flat = f'{indent}{start}{_flat(value)}{end}'
    has_comments = any(name.startswith(f'{key}.') for name in comments)
    if not isinstance(value, (dict, list, tuple)) or not value or (len(flat) <= _WIDTH and not has_comments):
        yield flat
        return
    if isinstance(value, dict) and _are_keywords(value):
        opening, items, closing = 'dict(', [(name, f'{name}=', value[name]) for name in _in_order(value)], ')'
    elif isinstance(value, dict):
        opening, items, closing = '{', [(name, f'{name!r}: ', item) for name, item in value.items()], '}'
    else:
        opening, closing = '()' if isinstance(value, tuple) else '[]'
        items = [(str(i), '', item) for i, item in enumerate(value)]
    yield f'{indent}{start}{opening}'
    for name, before, item in items:
        yield from _lines(f'{key}.{name}', before, item, ',', comments, depth + 1)
    yield f'{indent}{closing}{end}'


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        if _are_keywords(value):
            return f'dict({", ".join(f"{name}={_flat(value[name])}" for name in _in_order(value))})'
        return f'{{{", ".join(f"{name!r}: {_flat(item)}" for name, item in value.items())}}}'
    if isinstance(value, (list, tuple)):
        items = ', '.join(map(_flat, value))
        return f'[{items}]' if isinstance(value, list) else f'({items}{"," if len(value) == 1 else ""})'
    return repr(value)


def _are_keywords(names: Iterable[Any]) -> bool:
    """Whether ``dict(name=...)`` can be written of all of them."""
    return all(isinstance(name, str) and name.isascii() and name.isidentifier() and not iskeyword(name)
               for name in names)


def _in_order(value: Mapping[str, Any]) -> list[str]:
    """The type first, as everywhere."""
    return sorted(value, key=lambda name: name != 'type')
