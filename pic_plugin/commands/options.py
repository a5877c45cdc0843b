"""``--cfg-options``, as mmengine reads them, but for paths."""
import argparse
import ast
import os
import re
from collections.abc import Sequence
from typing import Any, Optional, Union

from mmengine.config import DictAction

# how the key of a path ends
_PATH = re.compile(r'(^|[._])(root|dir|prefix|file|checkpoint|load_from|class_of_image)(\.\d+)?$')
_QUOTED = re.compile(r'''(["'])(.*)\1''', re.DOTALL)
_BLANK_WITHIN = re.compile(r'[^\s,(\[]\s+[^\s,)\]]')


class ConfigOptions(DictAction):
    """mmengine's ``DictAction``, which takes numbers, commas and blanks in a path for what they are.

    mmengine makes a number of a folder that is called 2024, splits at commas and drops blanks.  Here a path is a text,
    and only a list where it has commas and is not the name of something that is there.  What is quoted (once more than
    for the shell) is a text, whatever its key.  A dict, or a list that starts with one, is read as Python reads it.

    Raises:
        ValueError: if an option has no key, is no path and has a blank that mmengine would drop, or has a dict that
            Python cannot read.
    """

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace,
                 values: Union[str, Sequence[Any], None], option_string: Optional[str] = None) -> None:
        """Read the options."""
        options = dict(getattr(namespace, self.dest, None) or {})
        for option in values or ():
            key, equals, text = option.partition('=')
            if not (key and equals):
                raise ValueError(f'{option_string} must be KEY=VALUE, got {option!r}; put what has a blank in quotes: '
                                 '\'KEY=a b\'')
            options[key] = _value(key, text)
        setattr(namespace, self.dest, options)


def _value(key: str, text: str) -> Any:
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        text = quoted[2]
        if not text.startswith(('[', '(')):
            return text
    if _PATH.search(key) and text != 'None':
        is_list = text.startswith(('[', '('))
        if os.path.exists(text) or (not is_list and ',' not in text):
            return text
        if text.count('(') + text.count('[') == is_list:
            return [part.strip().strip('\'"') for part in text.strip('[]()').split(',')]
    if text.startswith(('{', '[{', '({')):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError) as error:
            raise ValueError(f"{key} must be a dict or a list of dicts as Python has them, [{{'type': 'A'}}] say, got "
                             f'{text}: {error}') from error
    if _BLANK_WITHIN.search(text):
        raise ValueError(f'{key} must have no blanks, which mmengine drops, got {text!r}; to keep them, quote it once '
                         f'more: \'{key}="{text}"\'')
    return DictAction._parse_iterable(text)
