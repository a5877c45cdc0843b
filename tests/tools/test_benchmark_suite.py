"""The suite of protocols, as a user types it, on a digits backbone that was not trained."""
import json
import re
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

from tests.tiny import ROOT

sys.path.insert(0, str(ROOT / 'tools'))
import benchmark_suite
from benchmark_suite import markdown
from protocols import DIGITS, IMAGENET, Metric, Protocol, Table


@pytest.fixture
def suite(monkeypatch, capfd):
    """The script in this process, which has imported all that it needs; its trainings are processes of their own."""

    def run(cwd, *options, status=0):
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, 'argv', ['benchmark_suite.py', *options])
        monkeypatch.setenv('OMP_NUM_THREADS', '1')
        capfd.readouterr()
        assert benchmark_suite.main() == status
        return capfd.readouterr().out

    return run


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """With the digits, and a backbone."""
    folder = tmp_path_factory.mktemp('suite')
    subprocess.run([sys.executable, str(ROOT / 'tools/dataset_converters/write_digits.py')], cwd=folder, check=True)
    cfg = Config.fromfile(next((ROOT / 'configs/pic').glob('*digits.py')))
    backbone = MODELS.build(dict(cfg.model.backbone, _scope_='mmpretrain'))
    torch.save(backbone.state_dict(), folder / 'backbone.pth')
    return folder


def test_a_protocol_from_the_checkpoint_and_from_random_weights(suite, folder):
    command = ['backbone.pth', '--suite', 'digits', '--only', 'semi-10percent', '--random', '--cfg-options',
               'train_cfg.max_epochs=1', 'model.backbone.base_channels=32']
    out = suite(folder, *command)
    assert re.search(r'\[1/2\] semi-10percent from backbone-\w{8}: .*\n +Epoch\(train\).* eta: ', out)
    assert '[2/2] semi-10percent from random weights' in out
    name, = re.findall(r'\[1/2\] semi-10percent from (\S+):', out)
    figures = {start: json.loads(next((folder / 'work_dirs').rglob(f'{start}/semi-10percent/metrics.json')).read_text())
               for start in (name, 'random-weights')}
    for row, start in ((name, name), ('random weights', 'random-weights')):
        assert f'| {row} | - | {figures[start]["top-1"]:.1f} | - | - |' in out
    assert (folder / f'work_dirs/benchmark_suite/digits-{name}.md').read_text().strip() in out
    log = next((folder / 'work_dirs').rglob(f'{name}/semi-10percent/output.log')).read_text()
    assert f'model.backbone took 90 of the 90 tensors of {folder}/backbone.pth' in log
    # again: nothing is left to do
    again = suite(folder, *command)
    assert 'Epoch(train)' not in again and f'| {name} | - | {figures[name]["top-1"]:.1f} | - | - |' in again


def test_without_data_nothing_runs_and_the_reasons_are_given(suite, folder, tmp_path):
    out = suite(tmp_path, str(folder / 'backbone.pth'))
    names = [protocol.name for table in IMAGENET for protocol in table.protocols]
    assert [name for name in names if f'{name} was left out: ' in out] == names
    assert 'linear was left out: there is no data/imagenet: put the data set there, or set train_dataloader.data' in out
    assert 'semi-1percent was left out: there is no data/imagenet: put the data set there, or set train_data' in out
    assert 'cifar10 was left out: there is no data/cifar10' in out
    assert '| PIC | 70.8 | 90.0 | - | - |' in out and '| Liu et al. | - | - | 71.4 | 90.3 |' in out


def test_a_protocol_that_fails(suite, folder, tmp_path):
    torch.save({'conv1.weight': torch.ones(3)}, tmp_path / 'other.pth')
    (tmp_path / 'data').symlink_to(folder / 'data')
    out = suite(tmp_path, 'other.pth', '--suite', 'digits', '--only', 'cosine', status=1)
    assert re.search(r'cosine from other-\w{8} failed: ValueError: model.backbone must take all of its tensors from '
                     r'.*other.pth: .* \(see .*output.log\)', out)
    assert not list(tmp_path.rglob('metrics.json'))


def test_wrong_options(suite, folder):
    with pytest.raises(ValueError, match='the checkpoint must be a file, and there is no /.*/absent.pth'):
        suite(folder, 'absent.pth')
    with pytest.raises(ValueError, match='--only must name protocols of the suite imagenet, which are linear, .*neer'):
        suite(folder, 'backbone.pth', '--only', 'linear', 'lineer')


def test_a_table():
    metrics = (Metric('AP', 'ap', 100), Metric('AP50', 'ap50'))
    table = Table('Some', (Protocol('a', '', 'A:', metrics, {'X': (1.0, ), 'Y': (2.0, 3.25)}),
                           Protocol('b', '', 'B:', metrics[:1], {'Z': (4.0, ), 'X': (5.0, )})))
    assert markdown(table, {'ours': {'a': {'AP': 12.34, 'AP50': 6.0}}}).splitlines() == [
        'Some', '',
        '|  | A: AP | A: AP50 | B: AP |',
        '| --- | --- | --- | --- |',
        '| X | 1.0 | - | 5.0 |',
        '| Y | 2.0 | 3.2 | - |',
        '| Z | - | - | 4.0 |',
        '| ours | 12.3 | 6.0 | - |']


def test_figures_belong_to_their_metrics():
    for table in (*IMAGENET, *DIGITS):
        for protocol in table.protocols:
            assert len({metric.heading for metric in protocol.metrics}) == len(protocol.metrics)
            assert len({len(figures) for figures in protocol.published.values()}) <= 1
            assert all(len(figures) <= len(protocol.metrics) for figures in protocol.published.values())


# Cao et al., Tables 6 to 8; Liu et al., Tables 6 to 10
PIC = {'linear': (70.8, 90.0), 'semi-1percent': (77.1, ), 'semi-10percent': (88.7, ), 'inat2018': (66.2, 85.7),
       'voc': (57.1, 82.4, 63.4), 'cityscapes': (76.6, )}
LIU = {'linear-lr40': (71.4, 90.3), 'semi-1percent': (81.8, ), 'semi-10percent': (89.2, ), 'inat2018': (66.2, 86.2),
       'voc': (57.2, 82.2, 64.0), 'cifar10': (97.8, ), 'cifar100': (86.2, ), 'sun397': (64.2, ), 'dtd': (77.6, )}


@pytest.mark.parametrize('method, published', [('PIC', PIC), ('Liu et al.', LIU)])
def test_published_rows(method, published):
    assert {protocol.name: protocol.published[method] for table in IMAGENET for protocol in table.protocols
            if method in protocol.published} == published
