"""A run gives a result that is complete or not there, and another one when what it depends on is another."""
import json
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from pic_plugin.checkpoints.read import load_tensors_only
from pic_plugin.evidence.runs import Run, backbone_of, make, result_of, with_earlier
from tests.tiny import tiny_config, write_images
from tests.tools.scripts import run_tool


def write_config(folder, name='tiny', **changes):
    """A config of a folder ``configs/glyphs`` with images of two labels."""
    for split, seed in (('train', 0), ('test', 1)):
        if not (folder / split).exists():
            write_images(folder / split, 24, seed=seed)
    cfg = tiny_config(folder / 'train', folder / 'unused', **changes)
    load = dict(type='LoadImageFromFile', color_type='grayscale')
    for loader, split in (('bank_dataloader', 'train'), ('query_dataloader', 'test')):
        cfg[loader] = dict(
            batch_size=8, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
            dataset=dict(type='CustomDataset', data_root=str(folder / split), pipeline=[load, dict(type='PackInputs')]))
    path = folder / 'configs/glyphs' / f'{name}.py'
    path.parent.mkdir(parents=True, exist_ok=True)
    cfg.dump(path)
    return path


def test_a_result(tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    run = Run(write_config(tmp_path), 3, 'fonts')
    assert result_of(run, out) is None
    result = make(run, out)
    assert result_of(run, out) == result
    assert (result['config'], result['seed'], result['fonts']) == ('tiny', 3, 'fonts')
    assert 0 <= result['kNN'] <= 1 and 0 <= result['linear'] <= 1
    assert len(result['losses']) == 24  # of so few iterations each
    assert [path.name for path in out.iterdir() if path.is_file()] == [f'{run.name}.json']
    assert not any((out / 'running').iterdir())
    assert make(run._replace(seed=4), out)['losses'] != result['losses']
    assert make(run, out) == result


def test_the_network_as_it_starts(tmp_path):
    result = make(Run(write_config(tmp_path, **{'train_cfg.max_epochs': 0}), 0, 'fonts'), tmp_path)
    assert result['losses'] == [] and 0 <= result['kNN'] <= 1


def test_a_stopped_run_leaves_no_result(tmp_path):
    run = Run(write_config(tmp_path), 0, 'fonts')
    with mock.patch('pic_plugin.evidence.runs.extract_features', side_effect=KeyboardInterrupt), \
            pytest.raises(KeyboardInterrupt):
        make(run, tmp_path)
    assert result_of(run, tmp_path) is None
    assert make(run, tmp_path) == result_of(run, tmp_path)


def test_what_a_result_depends_on(tmp_path):
    digest = Run(write_config(tmp_path), 0, 'fonts').digest
    assert Run(write_config(tmp_path, 'other'), 1, 'fonts').digest == digest  # a seed and a name are no settings
    same = {'default_hooks.logger.interval': 7, 'experiment_name': 'another', 'log_level': 'INFO'}
    assert Run(write_config(tmp_path, 'same', **same), 0, 'fonts').digest == digest
    others = [{'model.head.temperature': 0.31}, {'optim_wrapper.optimizer.lr': 0.1}, {'train_cfg.max_epochs': 5},
              {'train_dataloader.sampler.window_size': 9}, {'param_scheduler.0.end': 2},
              {'custom_hooks.0.max_unreadable_share': 0.5}]
    digests = {Run(write_config(tmp_path, 'changed', **change), 0, 'fonts').digest for change in others}
    assert len(digests | {digest, Run(write_config(tmp_path), 0, 'other fonts').digest}) == len(others) + 2


def write_later(folder, name, **more):
    """A config that needs the run of ``tiny``."""
    path = write_config(folder, name)
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(more)
    cfg.dump(path)
    return path


def started(folder, name='later', **more):
    init_cfg = dict(type='Pretrained', checkpoint='none')
    return write_later(folder, name, **{'start_from': 'tiny', 'model.backbone.init_cfg': init_cfg,
                                        'train_cfg.max_epochs': 0, **more})


def clustered(folder, num_classes, **more):
    return write_later(folder, f'clusters{num_classes}', clusters=dict(num_classes=num_classes, **more),
                       **{'train_dataloader.dataset.class_of_image': 'classes.txt', 'train_cfg.max_epochs': 1})


def test_a_run_goes_on_from_the_backbone_of_another(tmp_path):
    first = Run(write_config(tmp_path), 3, 'fonts')
    result = make(first, tmp_path, keep_backbone=True)
    on = Run(started(tmp_path), 3, 'fonts')
    assert on.earlier == first and first.earlier is None
    again = make(on, tmp_path)
    assert {key: again[key] for key in ('kNN', 'linear')} == {key: result[key] for key in ('kNN', 'linear')}
    assert again['losses'] == []
    other = make(on._replace(config=started(tmp_path, 'trained', **{'train_cfg.max_epochs': 1})), tmp_path, True)
    assert other['losses']
    before, after = (load_tensors_only(backbone_of(run, tmp_path)) for run in
                     (first, on._replace(config=on.config.with_name('trained.py'))))
    assert before.keys() == after.keys() and not torch.equal(before['layers.1.weight'], after['layers.1.weight'])
    with pytest.raises(FileNotFoundError, match='tiny-seed4-.*pth'):
        make(on._replace(seed=4), tmp_path)


def test_classes_between_labels_and_images(tmp_path):
    """24 images of two labels: as the labels have it, and each label in three."""
    seen = []
    of_labels = Run(clustered(tmp_path, 2), 0, 'fonts')
    of_clusters = Run(clustered(tmp_path, 6, features_of='clusters2'), 0, 'fonts')
    train = Runner.train

    def spy(runner):
        train(runner)
        seen.append(runner.train_dataloader.dataset.class_of_image.numpy())

    # as in a process in which there was no Runner yet
    with mock.patch.object(DefaultScope, '_instance_dict', OrderedDict()), mock.patch.object(Runner, 'train', spy):
        make(of_labels, tmp_path, keep_backbone=True)
        make(of_clusters, tmp_path)
    labels, clusters = seen
    assert np.bincount(labels).tolist() == [12, 12] and np.bincount(clusters).tolist() == [4] * 6
    assert (clusters // 3 == labels).all()  # no cluster has images of two labels


def test_clusters_need_features(tmp_path):
    with pytest.raises(ValueError, match='the 3 classes of each label are clusters of features, and there is no netw'):
        make(Run(clustered(tmp_path, 6), 0, 'fonts'), tmp_path)


def test_a_later_result_depends_on_the_earlier_config(tmp_path):
    write_config(tmp_path)
    for config in (started(tmp_path), clustered(tmp_path, 6, features_of='tiny')):
        digest = Run(config, 0, 'fonts').digest
        write_config(tmp_path, **{'model.head.temperature': 0.31})
        assert Run(config, 0, 'fonts').digest != digest
        write_config(tmp_path)
        assert Run(config, 0, 'fonts').digest == digest
    assert Run(clustered(tmp_path, 4), 0, 'fonts').digest != Run(clustered(tmp_path, 6), 0, 'fonts').digest


def test_what_is_needed_comes_first(tmp_path):
    write_config(tmp_path)
    started(tmp_path)
    on, further = Run(tmp_path / 'configs/glyphs/later.py', 1, 'fonts'), Run(started(
        tmp_path, 'further', start_from='later'), 1, 'fonts')
    assert [run.config.stem for run in with_earlier([further, on])] == ['tiny', 'later', 'further']


def tables(*configs):
    rows = ''.join(f'\n      - {{label: {name}, config: {name}}}' for name in configs)
    return ('claims:\n  - {claim: a part, source: a paper, without: good, with: better, paper: [1.0, 2.0]}\n'
            f'tables:\n  - name: all\n    title: All\n    rows:{rows}\n')


def test_the_tool_makes_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, lr in (('good', 0.1), ('better', 0.2), ('bad', 0.1)):
        write_config(tmp_path, name, **{'optim_wrapper.optimizer.lr': lr})
    bad = Config.fromfile('configs/glyphs/bad.py')
    bad.train_dataloader.dataset.data_root = 'nowhere'
    bad.dump('configs/glyphs/bad.py')
    (tmp_path / 'configs/glyphs/tables.yml').write_text(tables('good', 'better', 'bad'))
    with pytest.raises(ValueError, match='there are no glyphs in data/glyphs'):
        run_tool('evidence.py', 'out')
    (tmp_path / 'data/glyphs').mkdir(parents=True)
    (tmp_path / 'data/glyphs/fonts.json').write_text(json.dumps({'sha256': 'ab' * 32, 'images': {'train': 24}}))
    with mock.patch('concurrent.futures.ProcessPoolExecutor', lambda number, mp_context: ThreadPoolExecutor(number)):
        run_tool('evidence.py', 'out', '--processes', 1)
        said = capsys.readouterr().out
        assert '6 runs, 0 of them there already; 1 at once' in said and '6/6, 0 min left' in said
        assert 'fonts abababababababab' in said and '| a part |' in said and 'not run' not in said
        with pytest.raises(SystemExit, match=r'failed: bad-seed0-\w+, bad-seed1-\w+, bad-seed2-\w+$'):
            run_tool('evidence.py', 'out', '--processes', 1, '--all')
    said = capsys.readouterr().out
    assert '9 runs, 6 of them there already' in said and 'bad, seed 0: failed: ValueError' in said
    assert '| bad | not run | not run |' in said


def test_the_tool_makes_backbones_that_are_needed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, lr in (('tiny', 0.1), ('good', 0.2), ('better', 0.3)):
        write_config(tmp_path, name, **{'optim_wrapper.optimizer.lr': lr})
    started(tmp_path)
    (tmp_path / 'configs/glyphs/tables.yml').write_text(tables('good', 'better') + (
        '  - {name: continue, title: On, seeds: 2, rows: [{label: later, config: later}]}\n'
        '  - {name: first, title: First, seeds: 1, rows: [{label: first, config: tiny}]}\n'))
    (tmp_path / 'data/glyphs').mkdir(parents=True)
    (tmp_path / 'data/glyphs/fonts.json').write_text(json.dumps({'sha256': 'ab' * 32, 'images': {'train': 24}}))
    fonts, out = 'ab' * 32, tmp_path / 'out'

    def run(*arguments):
        with mock.patch('concurrent.futures.ProcessPoolExecutor',
                        lambda number, mp_context: ThreadPoolExecutor(number)):
            run_tool('evidence.py', 'out', '--processes', 1, *arguments)
        return capsys.readouterr().out

    assert '1/1, 0 min left: tiny, seed 0' in run('--tables', 'first')
    first = Run(tmp_path / 'configs/glyphs/tiny.py', 0, fonts)
    assert result_of(first, out) and not backbone_of(first, out).exists()  # nobody has asked for it
    said = run('--tables', 'continue')
    assert '4/4, 0 min left: later, seed 1' in said
    assert '| later |' in said and '| first |' not in said and 'a part' not in said
    assert backbone_of(first, out).exists() and not list(out.glob('later-*.pth'))
    backbone_of(first, out).unlink()  # needed no more
    assert '2 runs, 2 of them there already' in run('--tables', 'continue')
    cfg = Config.fromfile('configs/glyphs/good.py')
    cfg.train_dataloader.dataset.ann_file = 'new.txt'
    cfg.dump('configs/glyphs/good.py')
    with pytest.raises(ValueError, match='no data/glyphs/new.txt, which .*good.py reads: make glyphs adds'):
        run('--tables', 'all')
    with pytest.raises(ValueError, match='there is no table none; there are all, continue, first'):
        run('--tables', 'none')
