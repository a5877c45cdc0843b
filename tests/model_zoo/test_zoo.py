"""The real zoo: metafiles, configs, README and docs agree."""
import re

import modelindex
import pytest
from mmengine.config import Config

from pic_plugin.model_zoo.entries import config_paths, read_zoo
from tests.tiny import ROOT
from tests.tools.scripts import run_tool

ENTRIES = [entry for family in read_zoo(ROOT) for entry in family.entries]


def test_tables_are_up_to_date():
    run_tool('generate_model_zoo.py', '--check')


def test_modelindex_finds_every_metafile():
    index = modelindex.load(str(ROOT / 'model-index.yml'))
    assert index.check(silent=True) == []
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs').rglob('metafile.yml')}
    assert {model.filepath.removeprefix(f'{ROOT}/') for model in index.models} == files


def test_every_config_has_an_entry():
    assert sorted(entry.config for entry in ENTRIES) == config_paths(ROOT)
    assert all(re.search(r'\.py$', str(path)) and '_base_' not in str(path) for path in config_paths(ROOT))


@pytest.mark.parametrize('entry', ENTRIES, ids=lambda entry: entry.name)
def test_metadata_are_the_configs(entry):
    cfg = Config.fromfile(ROOT / entry.config, import_custom_modules=False)  # of toolboxes that may not be here
    if 'Epochs' in entry.metadata:
        assert entry.metadata['Epochs'] == cfg.train_cfg.max_epochs
    if 'Iterations' in entry.metadata:
        assert entry.metadata['Iterations'] == cfg.train_cfg.max_iters
    if 'auto_scale_lr' in cfg:
        assert entry.metadata['Batch Size'] == cfg.auto_scale_lr.base_batch_size
    assert entry.metadata['Training Data']


def test_what_was_run_in_small_is_a_config():
    configs = {path.stem for path in (ROOT / 'configs/glyphs').glob('*.py')}
    assert not [entry.name for entry in ENTRIES if entry.in_small and entry.in_small not in configs]


def test_every_table_of_the_papers_is_there():
    tables = re.findall(r'^## (.+)$', (ROOT / 'docs/tables.md').read_text(), re.M)
    assert tables == [*(f'PIC, Table {n}' for n in range(1, 11)), 'PIC, Figure 3',
                      *(f'Liu et al., Table {n}' for n in range(2, 11)), 'Liu et al., Figure 4']
