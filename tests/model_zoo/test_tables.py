import pytest

from pic_plugin.model_zoo.entries import read_zoo
from pic_plugin.model_zoo.tables import readme_table, replace_between, tables_page, zoo_page
from tests.model_zoo.small import ENTRY, write_config, write_zoo
from tests.tools.scripts import run_tool

OURS = {**ENTRY, 'Name': 'ours', 'Config': 'configs/small/deep/ours.py', 'Status': 'trained here', 'In README': True,
        'Results': [{'Task': 'R', 'Dataset': 'E', 'Metrics': {'k': 7}}], 'Made By': '`hand`', 'Tensors': 3}
MARKERS = '<!-- begin: model zoo, by a tool -->\nold\n<!-- end: model zoo -->'


@pytest.fixture
def root(tmp_path):
    write_config(tmp_path / 'configs/small/deep/ours.py')
    return write_zoo(tmp_path, [ENTRY, OURS])


def test_papers_figures_and_ours_are_told_apart(root):
    zoo = read_zoo(root)
    measured = """| config | what | data | measured | weights |
| --- | --- | --- | --- | --- |
| [`ours`](../configs/small/deep/ours.py) | A small one | E | R: k 7 | made by `hand` |"""
    assert readme_table(zoo) == measured.replace('../', '')
    assert zoo_page(zoo) == f"""## Trained here

{measured}

## The papers' main results

| config | what | published |
| --- | --- | --- |
| [`ours`](../configs/small/deep/ours.py) | A small one | T, D: m 1.5, n 2 (a paper) |

## All configs

### Small

Small ones. [A title](http://p).

<details markdown="1">
<summary>2 configs</summary>

| config | what | settings | published | status |
| --- | --- | --- | --- | --- |
| [`small`](../configs/small/small.py) | A small one | Epochs: 2 | T, D: m 1.5, n 2 (a paper) | not yet trained |
| [`ours`](../configs/small/deep/ours.py) | A small one | Epochs: 2 | T, D: m 1.5, n 2 (a paper) | trained here |

</details>"""


PAPERS = [{'Task': 'T', 'Dataset': 'D', 'Metrics': {'m': 1}, 'Source': 'PIC, Table 4, by hand'},
          {'Task': 'T', 'Dataset': 'D', 'Metrics': {'m': 2, 'n': 3}, 'Source': 'PIC, Table 9'},
          {'Task': 'T', 'Dataset': 'D', 'Metrics': {'m': 5}, 'Source': 'Liu et al., Table 4'}]


def test_the_papers_tables_row_by_row(root):
    write_zoo(root, [
        {**ENTRY, 'Published Results': PAPERS, 'In Small': 'tiny', 'Rows': {
            'PIC, Table 10': 'K = 16,384', 'PIC, Table 4': 'first', 'Liu et al., Figure 4': 'picture'}},
        {**OURS, 'Rows': {'PIC, Table 10': 'K = 4,096'}}])
    small, ours = '[`small`](../configs/small/small.py)', '[`ours`](../configs/small/deep/ours.py)'
    header, link = '| row | config | published | in small |\n| --- | --- | --- | --- |', '[`tiny`](evidence.md)'
    assert tables_page(read_zoo(root)) == f"""## PIC, Table 4

{header}
| first | {small} | m 1 | {link} |

## PIC, Table 9

{header}
| A small one | {small} | m 2, n 3 | {link} |

## PIC, Table 10

{header}
| K = 4,096 | {ours} |  |  |
| K = 16,384 | {small} | m 1 | {link} |

## Liu et al., Table 4

{header}
| A small one | {small} | m 5 | {link} |

## Liu et al., Figure 4

{header}
| picture | {small} |  | {link} |"""


def test_a_row_of_no_table(root):
    write_zoo(root, [{**ENTRY, 'Rows': {'Table 3': 'x'}}, OURS])
    with pytest.raises(ValueError, match="Rows must name a table or figure, as in .PIC, Table 3., got 'Table 3'"):
        tables_page(read_zoo(root))


@pytest.mark.parametrize('weights, link', [('http://w', 'http://w'), ('releases/ours/w.pth', '../releases/ours/w.pth')])
def test_weights_to_download(weights, link, root):
    write_zoo(root, [ENTRY, {**OURS, 'Weights': weights, 'Status': "converted from the authors'"}])
    assert f'| R: k 7 | [download]({link}) |' in zoo_page(read_zoo(root))


def test_the_tool_writes_between_the_markers(root, capsys):
    (root / 'docs').mkdir()
    for name in ('README.md', 'docs/model_zoo.md', 'docs/tables.md'):
        (root / name).write_text(f'before\n{MARKERS}\nafter\n')
    with pytest.raises(ValueError, match='README.md is not what the metafiles say; run tools/generate_model_zoo.py'):
        run_tool('generate_model_zoo.py', '--root', root, '--check')
    run_tool('generate_model_zoo.py', '--root', root)
    assert capsys.readouterr().out == 'wrote README.md\nwrote docs/model_zoo.md\nwrote docs/tables.md\n'
    assert (root / 'README.md').read_text() == 'before\n' + MARKERS.replace('old', readme_table(read_zoo(root))) + \
        '\nafter\n'
    run_tool('generate_model_zoo.py', '--root', root, '--check')
    assert not list(root.rglob('*.partial'))


@pytest.mark.parametrize('text', ['nothing', MARKERS * 2, MARKERS[:-5]])
def test_markers_that_are_not_there_once(text):
    with pytest.raises(ValueError, match='the lines <!-- begin: model zoo … --> and <!-- end: model zoo --> were ex'):
        replace_between(text, 'model zoo', 'new')
