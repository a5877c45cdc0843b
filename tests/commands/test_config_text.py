"""Configs as text."""
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from pic_plugin.commands.config_text import config_text
from tests.tiny import ROOT

CONFIGS = ['pic/pic_r50_8xb64_200e.py', 'pic/pic_r50_8xb64_200e_multicrop-1x160-3x96.py',
           'pic/pic_r18-3stage-w32_1xb128_40e_digits.py', 'one_million_way/omw_r50_64xb64_200e.py']


def read(text, tmp_path):
    (tmp_path / 'config.py').write_text(text)
    return Config.fromfile(str(tmp_path / 'config.py')).to_dict()


@pytest.mark.parametrize('path', CONFIGS)
def test_a_config_is_read_as_it_was(path, tmp_path):
    config = Config.fromfile(str(ROOT / 'configs' / path)).to_dict()
    comments = {'train_dataloader.sampler.window_size': 'an eighth', 'model': 'network', 'param_scheduler.0.end': '!'}
    text = config_text(config, comments, 'Two\nlines')
    again = read(text, tmp_path)
    assert again == {key: config[key] for key in again}
    assert {'model', 'train_dataloader', 'optim_wrapper', 'default_hooks', 'custom_hooks'} <= set(again)
    assert text.startswith('# Two\n# lines\n') and max(map(len, text.splitlines())) <= 120
    assert all(f'# {comment}\n' in text for comment in comments.values())


def test_a_comment_stands_above_its_line():
    model = {'head': {'num_negatives': 5, 'type': 'Head'}}
    text = config_text({'model': model}, {'model.head.num_negatives': 'why'}, '')
    assert text.endswith("    head=dict(\n        type='Head',\n        # why\n        num_negatives=5,\n    ),\n)\n")


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text())
KEYS = st.one_of(st.from_regex(r'[a-z]\w{0,5}', fullmatch=True), st.text(max_size=3))
VALUES = st.recursive(PLAIN, lambda inner: st.one_of(
    st.lists(inner), st.lists(inner).map(tuple), st.dictionaries(KEYS, inner)), max_leaves=30)


@given(VALUES)
def test_any_value_is_read_as_it_was(value):
    scope = {}
    exec(config_text({'model': value}, {}, ''), scope)
    assert scope['model'] == value and type(scope['model']) is type(value)
