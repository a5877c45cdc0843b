"""The drawings that the pages show."""
import runpy

import pytest

from tests.test_layout import FILES, LAYERS
from tests.tiny import ROOT
from tests.tools.scripts import run_tool


def test_drawings_are_up_to_date():
    run_tool('generate_drawings.py', '--check')


def test_a_drawing_that_is_out_of_date_is_named(tmp_path, capsys):
    run_tool('generate_drawings.py', '--root', tmp_path)
    assert capsys.readouterr().out.count('wrote docs/drawings/') == 4
    run_tool('generate_drawings.py', '--root', tmp_path, '--check')
    (tmp_path / 'docs/drawings/row.svg').write_text('<svg/>')
    with pytest.raises(ValueError, match=r'docs/drawings/row\.svg is not what tools/generate_drawings\.py draws'):
        run_tool('generate_drawings.py', '--root', tmp_path, '--check')


def test_all_packages_are_drawn_in_the_order_of_their_imports():
    packages = {path.parent.name for path in FILES if path.name == '__init__.py'}
    drawn = runpy.run_path(str(ROOT / 'tools/generate_drawings.py'))['LAYERS']
    assert [name for layer in drawn for name, _ in layer] == [name for name in reversed(LAYERS) if name in packages]
