"""Reads checkpoints without running code from them."""
import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Optional, Union

import torch
from torch import Tensor

HOW_TO_CONVERT = (
    'If you trust who made it, take its tensors out where it can do no harm, in a container without network or keys: '
    "python -c \"import torch; c = torch.load('{name}', map_location='cpu', weights_only=False); "
    "c = c.get('state_dict', c.get('model', c)); "
    "torch.save(dict((k, v) for k, v in c.items() if torch.is_tensor(v)), 'tensors.pth')\", and use tensors.pth")


def load_tensors_only(path: Union[str, Path], allowed: Sequence[type] = (), mmap: bool = False) -> Any:
    """Load what ``torch.save`` or safetensors wrote, on the CPU, if it is tensors and plain values.

    Args:
        path: a file; it is read by safetensors if its name ends so.
        allowed: classes of which objects may be made besides.  torch makes them without their ``__init__`` and fills
            their ``__dict__``, so the file chooses no code to run; a class with ``__setstate__`` would run that.
        mmap: map the tensors into memory rather than read them.

    Returns:
        Any: the object.

    Raises:
        ValueError: if the file has more than that in it, or is damaged, or is no checkpoint.
        OSError: if there is no such file, or it cannot be opened.
    """
    path = Path(path)
    with path.open('rb'):
        pass  # what cannot be opened says so; what fails from here on is the content
    try:
        if path.suffix == '.safetensors':
            from safetensors.torch import load_file  # an extra: those who do not use the format need not have it
            return load_file(path)
        with _also_safe(allowed):
            return torch.load(path, map_location='cpu', weights_only=True, mmap=mmap)
    except ImportError as error:
        raise ValueError(f'{path} needs the package safetensors: pip install safetensors') from error
    except Exception as error:  # there is no end to the ways in which a reader fails on a damaged file
        if isinstance(error, pickle.UnpicklingError) and 'GLOBAL ' in str(error):
            name = str(error).split('GLOBAL ')[1].split()[0]
            raise ValueError(f'{path} is not a checkpoint of tensors and plain values: it names {name}, and making '
                             f'that might run code, so it is not loaded. {HOW_TO_CONVERT.format(name=path)}') from error
        reason = str(error).splitlines()[-1] if str(error) else type(error).__name__
        raise ValueError(f'{path} is damaged, or no checkpoint: a file that torch.save or safetensors wrote was '
                         f'expected ({reason})') from error


class _LeftOut:
    """Stands for what is neither tensor nor plain value; whatever the file would do with that, it does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> '_LeftOut':
        return super().__new__(cls)

    def _nothing(self, *args: Any, **kwargs: Any) -> None:
        pass

    __init__ = __setstate__ = __setitem__ = append = extend = add = _nothing


class _TensorsAlone(pickle.Unpickler):
    """Finds what a tensor is made by, and :class:`_LeftOut` under every other name."""

    _MAKERS: ClassVar = {('collections', 'OrderedDict'): OrderedDict,
                         **{('torch._utils', name): getattr(torch._utils, name)
                            for name in ('_rebuild_tensor_v2', '_rebuild_parameter')}}

    def find_class(self, module: str, name: str) -> Any:
        return self._MAKERS.get((module, name), _LeftOut)


def load_network(path: Union[str, Path]) -> dict[str, Tensor]:
    """Load the tensors of a network, also from checkpoints of mmengine, whose log :func:`load_tensors_only` refuses.

    Whatever is no tensor or plain value is left out; none of it is made, and no code of it runs.

    Args:
        path: a file that ``torch.save`` or safetensors wrote; a dict of tensors, or with one under ``state_dict``.

    Raises:
        ValueError: if the file is damaged, or has no network in it.
        OSError: if there is no such file, or it cannot be opened.
    """
    try:
        return network_tensors(load_tensors_only(path), path)
    except ValueError as error:
        if not isinstance(error.__cause__, pickle.UnpicklingError) or not zipfile.is_zipfile(path):
            raise
    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=False,
                                pickle_module=SimpleNamespace(Unpickler=_TensorsAlone, __name__=__name__))
    except Exception as error:  # as in load_tensors_only
        raise ValueError(f'{path} is damaged, or no checkpoint: a file that torch.save or safetensors wrote was '
                         f'expected ({error or type(error).__name__})') from error
    return network_tensors(checkpoint, path)


def network_tensors(checkpoint: Any, path: Union[str, Path]) -> dict[str, Tensor]:
    """The tensors of a network, from a checkpoint that is a dict of them or has one under ``state_dict``.

    Args:
        checkpoint: what :func:`load_tensors_only` returned.
        path: where it is from, for the messages.

    Raises:
        ValueError: if it is something else.
    """
    state = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else checkpoint
    if isinstance(state, dict) and state and all(isinstance(tensor, Tensor) for tensor in state.values()):
        return dict(state)
    found = f'a dict of {", ".join(map(str, list(state)[:8]))}' if isinstance(state, dict) else type(state).__name__
    raise ValueError(f'{path} has no network in it: a dict of tensors was expected, by itself or under state_dict, '
                     f'got {found}')


@contextmanager
def _also_safe(allowed: Sequence[type]) -> Iterator[None]:
    """``torch.serialization.safe_globals``, which torch 2.4 does not have yet."""
    before = list(torch.serialization.get_safe_globals())
    torch.serialization.add_safe_globals(list(allowed))
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def find_unsafe(content: Any, key: str = '') -> Optional[str]:
    """Find what :func:`load_tensors_only` would not read again: its key and type; None if it reads all.

    Args:
        content: what is to be saved.
        key: under which it is.
    """
    if content is None or type(content) in (str, int, float, bool, Tensor):
        return None
    if type(content) in (dict, OrderedDict):
        items = list(content.items())
        if bad := next((name for name, _ in items if find_unsafe(name)), None):
            return f'{key} (its key {bad!r} is of {type(bad)})'
        children = [(f'{key}.{name}' if key else str(name), value) for name, value in items]
    elif type(content) in (list, tuple):
        children = [(f'{key}[{i}]', value) for i, value in enumerate(content)]
    else:
        try:
            file = io.BytesIO()
            torch.save(content, file)
            torch.load(io.BytesIO(file.getvalue()), weights_only=True)
            return None
        except Exception:  # what pickling may raise is anybody's
            return f'{key} (of {type(content)})'
    return next(filter(None, (find_unsafe(value, name) for name, value in children)), None)
