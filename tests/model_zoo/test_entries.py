import pytest

from pic_plugin.model_zoo.entries import read_zoo
from tests.model_zoo.small import ENTRY, write_config, write_zoo

RESULT = {'Task': 'T', 'Dataset': 'D', 'Metrics': {'m': 1}}


def test_an_entry(tmp_path):
    family, = read_zoo(write_zoo(tmp_path, [{**ENTRY, 'Status': 'trained here', 'Made By': 'hand', 'Tensors': 3,
                                             'Results': [RESULT], 'Files': {'a': 'b'}, 'Weights': 'http://w'}]))
    assert family.name == 'Small' and family.paper['URL'] == 'http://p'
    entry, = family.entries
    assert (entry.name, entry.status, entry.results, entry.files) == ('small', 'trained here', [RESULT], {'a': 'b'})
    assert entry.published == ENTRY['Published Results'] and entry.weights == 'http://w' and not entry.in_readme


@pytest.mark.parametrize('changes, fault', [
    ({'Name': 'other'}, 'other: Name must be that of Config'),
    ({'Summary': ''}, 'small: Summary is missing'),
    ({'Status': 'trained'}, "Status must be trained here, converted from the authors' or not yet trained, got 'tr"),
    ({'Results': [RESULT]}, 'small: not yet trained, and yet it has Results, Weights or Files'),
    ({'Weights': 'http://w'}, 'small: not yet trained, and yet it has Results, Weights or Files'),
    ({'Status': 'trained here'}, 'small: trained here, and yet Made By is missing'),
    ({'Status': 'trained here', 'Made By': 'hand', 'Files': {'a': 'b'}}, 'small: Files need Tensors'),
    ({'Published Results': [RESULT]}, 'each of Published Results must have Task, Dataset, Metrics and Source'),
    ({'Config': 'configs/small/none.py', 'Name': 'none'}, 'none: there is no config configs/small/none.py'),
])
def test_faults(changes, fault, tmp_path):
    with pytest.raises(ValueError, match='the zoo is not in order: .*' + fault):
        read_zoo(write_zoo(tmp_path, [{**ENTRY, **changes}]))


def test_all_faults_are_named(tmp_path):
    write_config(tmp_path / 'configs/other/deep/new.py')
    write_config(tmp_path / 'configs/_base_/not_this.py')
    with pytest.raises(ValueError, match='not in order: small has 2 entries; configs/other/deep/new.py has no entry in '
                                         'a metafile.yml$'):
        read_zoo(write_zoo(tmp_path, [ENTRY, ENTRY]))


def test_experiments_are_listed_elsewhere(tmp_path):
    write_config(tmp_path / 'configs/other/new.py')
    (tmp_path / 'configs/other/tables.yml').write_text('tables: []\n')
    assert [entry.name for family in read_zoo(write_zoo(tmp_path, [ENTRY])) for entry in family.entries] == ['small']


def test_a_collection_without_a_summary(tmp_path):
    metafile = write_zoo(tmp_path, [ENTRY]) / 'configs/small/metafile.yml'
    metafile.write_text(metafile.read_text().replace('  Summary: Small ones\n', ''))
    with pytest.raises(ValueError, match='not in order: Small: Summary is missing'):
        read_zoo(tmp_path)


@pytest.mark.parametrize('changes, fault', [
    ({'In Collection': 'Another'}, 'Invalid collection name `Another`'),
    ({'Name': None}, "Field 'Name' cannot be empty"),
    ({'Status': 'trained here', 'Results': [{'Task': 'T', 'Dataset': 'D'}]}, "Field 'Metrics' is missing")])
def test_modelindex_finds_fault(changes, fault, tmp_path):
    with pytest.raises(ValueError, match=f'modelindex finds fault with the zoo: .*{fault}'):
        read_zoo(write_zoo(tmp_path, [{**ENTRY, **changes}]))


def test_an_index_of_something_else(tmp_path):
    (tmp_path / 'model-index.yml').write_text('Name: x\nResults: []\n')
    with pytest.raises(ValueError, match='must have Import: and the metafiles, got Model'):
        read_zoo(tmp_path)
