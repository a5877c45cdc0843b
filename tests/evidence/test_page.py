"""The page shows the results that are kept, and says what is missing."""
import json
import shutil

import pytest

from pic_plugin.evidence.page import keep, kept, page_of, write_pages
from pic_plugin.evidence.runs import Run
from pic_plugin.evidence.tables import Row, Table, mean_and_spread, read_evidence, table_of
from tests.evidence.test_runs import tables, write_config
from tests.tiny import ROOT
from tests.tools.scripts import run_tool

MARKERS = '\n'.join(f'<!-- begin: {name} -->\n<!-- end: {name} -->\n' for name in ('runs', 'claims', 'all'))


@pytest.fixture
def repository(tmp_path):
    """With two configs, a table of them with a plot, and a page without figures."""
    for name in ('good', 'better'):
        write_config(tmp_path, name, **{'model.head.temperature': 0.1 * len(name)})
    (tmp_path / 'configs/glyphs/tables.yml').write_text(
        tables('good', 'better').replace('    title', '    x: epochs\n    losses: false\n    title').replace(
            'config: good', 'config: good, x: 1, curve: c').replace('config: better', 'config: better, x: 2, curve: c'))
    (tmp_path / 'docs/evidence').mkdir(parents=True)
    (tmp_path / 'docs/evidence.md').write_text(MARKERS)
    (tmp_path / 'README.md').write_text('<!-- begin: claims -->\n<!-- end: claims -->\n')
    (tmp_path / 'made').mkdir()
    return tmp_path


def made(root, config, seed, accuracy, fonts='f' * 64):
    """Write a result, as a run does."""
    run = Run(root / 'configs/glyphs' / f'{config}.py', seed, fonts)
    result = {'config': config, 'seed': seed, 'digest': run.digest, 'fonts': fonts, 'torch': '2', 'kNN': accuracy,
              'linear': accuracy, 'losses': [2.0, 1.0]}
    (root / 'made' / f'{run.name}.json').write_text(json.dumps(result))
    return run


def test_the_repositorys_page_is_up_to_date():
    run_tool('generate_evidence.py', '--check')


def test_results_of_seeds_come_together(repository):
    evidence = read_evidence(repository / 'configs/glyphs')
    assert keep([made(repository, 'good', seed, 0.5) for seed in (2, 0)], repository / 'made', repository) == 2
    assert keep([made(repository, 'good', 1, 0.8), made(repository, 'better', 0, 0.9)], repository / 'made',
                repository) == 2
    write_pages(evidence, repository)
    page = (repository / 'docs/evidence.md').read_text()
    assert '4 of 6 runs; the others say "not run"' in page and 'Fonts `ffffffffffffffff`' in page
    assert '| good, c | 60.0 ± 14.1 | 60.0 ± 14.1 |' in page
    assert '| better, c | 90.0 (1 of 3 runs) |' in page
    assert '60.0 ± 14.1 → 90.0 (1 of 3 runs)' in page and '**+30.0**' in page and '1.0 → 2.0, +1.0' in page
    assert '![All](evidence/all.png)' in page and (repository / 'docs/evidence/all.png').stat().st_size > 1000
    assert page_of(page, evidence, kept(repository)) == page
    assert '60.0 ± 14.1 → 90.0 (1 of 3 runs)' in (repository / 'README.md').read_text()
    assert not list(repository.rglob('*partial*'))
    assert keep([made(repository, 'good', 1, 0.5)], repository / 'made', repository) == 1
    assert page_of(page, evidence, kept(repository)) != page


def test_nothing_was_run(repository):
    evidence = read_evidence(repository / 'configs/glyphs')
    write_pages(evidence, repository)
    page = (repository / 'docs/evidence.md').read_text()
    assert '0 of 6 runs' in page and '| good, c | not run | not run |' in page and '![' not in page


def test_results_of_another_config(repository):
    keep([made(repository, 'good', 0, 0.5)], repository / 'made', repository)
    write_config(repository, 'good', **{'model.head.temperature': 0.7})
    with pytest.raises(ValueError, match='has the results of another good.py than there is now'):
        kept(repository)
    # new results take the place of those of the old config
    keep([made(repository, 'good', 1, 0.6)], repository / 'made', repository)
    assert list(kept(repository)) == [('good', 1)]
    (repository / 'configs/glyphs/good.py').unlink()
    with pytest.raises(ValueError, match='has the results of another good.py'):
        kept(repository)


def test_results_of_other_fonts(repository):
    for config, fonts in (('good', 'a'), ('better', 'b')):
        keep([made(repository, config, 0, 0.5, fonts)], repository / 'made', repository)
    with pytest.raises(ValueError, match='all results must be of the same fonts, got a, b'):
        kept(repository)


def test_tables_that_do_not_fit_the_configs(repository):
    folder = repository / 'configs/glyphs'
    text = (folder / 'tables.yml').read_text()
    (folder / 'tables.yml').write_text(text.replace('config: good', 'config: none'))
    with pytest.raises(ValueError, match='there is no none'):
        read_evidence(folder)
    (folder / 'tables.yml').write_text(text)
    shutil.copy(folder / 'good.py', folder / 'forgotten.py')
    with pytest.raises(ValueError, match='lacks forgotten'):
        read_evidence(folder)
    (folder / 'tables.yml').write_text(text.replace('label:', 'lable:'))
    with pytest.raises(ValueError, match='must have claims and tables, as of Claim'):
        read_evidence(folder)


@pytest.mark.parametrize('values, wanted, expected', [
    ([], 3, 'not run'), ([50.0], 1, '50.0'), ([50.0], 3, '50.0 (1 of 3 runs)'), ([50.0, 60.0], 2, '55.0 ± 5.0')])
def test_mean_and_spread(values, wanted, expected):
    assert mean_and_spread(values, wanted) == expected


def test_the_papers_figures_are_beside_where_there_are_any():
    rows = [Row('a', 'config', setting='as they had it', paper=66.2), Row('b', 'other')]
    lines = table_of(Table('name', 'Title', rows), {}).splitlines()
    assert lines[0] == "| setting | kNN | linear | the paper's setting | the paper's linear | config |"
    assert lines[2:] == ['| a | not run | not run | as they had it | 66.2 | `config` |',
                         '| b | not run | not run |  |  | `other` |']
    assert table_of(Table('name', 'Title', rows[1:]), {}).splitlines()[0] == '| setting | kNN | linear | config |'
    assert len({line.count('|') for line in lines}) == 1


def test_every_config_of_glyphs_is_in_a_table_and_its_runs_are_named():
    evidence = read_evidence(ROOT / 'configs/glyphs')
    small, whole = evidence.runs(small=True), evidence.runs(small=False)
    assert whole[:len(small)] == small and len(set(whole)) == len(whole)
    assert {config for config, _ in whole} == {path.stem for path in (ROOT / 'configs/glyphs').glob('*.py')}
    assert {seed for config, seed in whole if config == 'pic_all_4e'} == set(range(5))
