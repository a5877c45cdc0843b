"""The notebook of the site: it runs from top to bottom, and keeps what it showed."""
import json

from tests.tiny import ROOT
from tests.tools.scripts import run_tool


def test_it_runs_from_top_to_bottom(monkeypatch, capsys):
    monkeypatch.setenv('PIC_NOTEBOOK_VISITS', '1')
    monkeypatch.delenv('PYTEST_CURRENT_TEST')  # under pytest, ipykernel does not catch what processes print
    run_tool('run_notebook.py')
    shown = capsys.readouterr().out
    assert 'nothing is wrong, and nothing is there twice' in shown  # check
    assert 'Epoch(health) [1/1]' in shown and 'backbone.pth' in shown  # pretrain
    assert '(1438, 128) (359, 128)' in shown and '% of these neighbours are the same digit' in shown
    accuracy = {line[:20].strip(): line[20:].split() for line in shown.splitlines() if line.endswith('%')}
    assert accuracy.keys() >= {'raw pixels', 'untrained network', 'trained network'}
    assert all(float(value.rstrip('%')) > 40 for name in list(accuracy)[-3:] for value in accuracy[name])
    found = {line[:20].strip(): float(line[20:].split('%')[0]) for line in shown.splitlines() if 'same letter' in line}
    assert found['released network'] > found['raw pixels'] + 20  # whatever fonts there are


def test_it_keeps_its_outputs():
    notebook = json.loads((ROOT / 'docs/notebook.ipynb').read_text())
    cells = [cell for cell in notebook['cells'] if cell['cell_type'] == 'code']
    kinds = [{kind for output in cell['outputs'] for kind in output.get('data', {'text': ''})} for cell in cells]
    assert [bool(kind) for kind in kinds] == [False, *[True] * 8]
    assert [i for i, kind in enumerate(kinds) if 'image/png' in kind] == [1, 4, 6]  # images, curves, neighbours
    assert 'Epoch(health) [40/40]' in json.dumps(cells[3]['outputs'])
    assert str(ROOT) not in json.dumps(cells) and '/tmp' not in json.dumps(cells)
