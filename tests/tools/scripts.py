"""Tools, run as a user types them, in this process: importing torch anew takes longer than most of them do."""
import runpy
import sys
from unittest import mock

from tests.tiny import ROOT


def run_tool(path: str, *arguments: object) -> None:
    with mock.patch.object(sys, 'argv', [path, *map(str, arguments)]):
        runpy.run_path(str(ROOT / 'tools' / path), run_name='__main__')
