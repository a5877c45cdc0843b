"""--cfg-options: paths are texts, all else is mmengine's."""
import argparse

import pytest
from mmengine.config import DictAction

from pic_plugin.commands.options import ConfigOptions

ROOT_KEY = 'train_dataloader.dataset.data_root'


def parsed(*options, action=ConfigOptions):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=action)
    return parser.parse_args(['--cfg-options', *options]).cfg_options


@pytest.mark.parametrize('text, value', [
    ('2024', '2024'), ('007', '007'), ('1e3', '1e3'), ('/a b/c', '/a b/c'), ('True', 'True'), ('None', None),
    ('a,b', ['a', 'b']), ('[a, /b c]', ['a', '/b c']), ('(2023,2024)', ['2023', '2024']), ('["a b","c"]', ['a b', 'c']),
    ('"/a,b/c"', '/a,b/c'), ("'[a]'", ['a']), ('', ''), ('a=b', 'a=b')])
def test_paths(text, value):
    assert parsed(f'{ROOT_KEY}={text}') == {ROOT_KEY: value}


@pytest.mark.parametrize('name', ['a,b', 'a, b', '[ab]', '(a', '12'])
def test_a_folder_that_is_there_is_that_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    for key in (ROOT_KEY, 'model.head.table_dir', f'{ROOT_KEY}.0', 'model.backbone.init_cfg.checkpoint', 'load_from',
                'train_dataloader.dataset.class_of_image'):
        assert parsed(f'{key}={name}', f'{key}x=1') == {key: name, f'{key}x': 1}
    assert parsed('train_cfg.max_epochs=12') == {'train_cfg.max_epochs': 12}


@pytest.mark.parametrize('text', ['1', '0.5', 'True', 'None', 'a', 'a,1', '[1, 2]', '[(1, 2), [a, b]]',
                                  '"[a,b]"', 'a=b'])
def test_all_else_is_mmengines(text):
    for key in ('model.head.num_negatives', 'optim_wrapper.optimizer.profile'):
        assert parsed(f'{key}={text}') == parsed(f'{key}={text}', action=DictAction)


def test_a_text_in_quotes_is_a_text():
    assert parsed('a="1, 2"', "b='x y'", 'c="12"') == {'a': '1, 2', 'b': 'x y', 'c': '12'}


@pytest.mark.parametrize('value', [[{'type': 'A'}, {'b': [1, 'x y']}], {'a': (1, None)}, ({'a': True}, )])
def test_a_dict_is_read_as_python_reads_it(value):
    for key in ('visualizer.vis_backends', 'a.init_cfg'):
        assert parsed(f'{key}={value}') == {key: value}


@pytest.mark.parametrize('options, message', [
    (['a=[{b: 1}]'], "a must be a dict or a list of dicts as Python has them, .* got .{b: 1}"),
    (['a={'], 'a must be a dict'),
    (['data_root=/my', 'images'], "--cfg-options must be KEY=VALUE, got 'images'; put what has a blank in quotes"),
    (['=1'], "must be KEY=VALUE, got '=1'"),
    (['visualizer.name=my run'], "visualizer.name must have no blanks, which mmengine drops, got 'my run'; to keep "
                                 'them, quote it once more: \'visualizer.name="my run"\'')])
def test_what_cannot_be_read(options, message):
    with pytest.raises(ValueError, match=message):
        parsed(*options)
