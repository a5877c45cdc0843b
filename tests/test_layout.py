"""Imports point down."""
import ast
import sys

import pytest

from tests.tiny import ROOT

# each may import itself and what stands before it
LAYERS = ['arguments', 'host_packages', 'progress', 'whole_file', 'registry', 'functional', 'augmentations', 'sharding',
          'rows', 'evaluation', 'visualization', 'datasets', 'models', 'checkpoints', 'engine', 'model_zoo', 'evidence',
          'embedding', 'commands', '__main__']
TORCH_ONLY = {'functional', 'augmentations', 'sharding'}
FILES = sorted((ROOT / 'pic_plugin').rglob('*.py'))


def imports(path):
    """The absolute names of the modules that a file imports."""
    package = ['pic_plugin', *path.relative_to(ROOT / 'pic_plugin').parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[:len(package) - node.level + 1] if node.level else []
            yield '.'.join([*start, *([node.module] if node.module else [])])


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    parts = path.relative_to(ROOT / 'pic_plugin').with_suffix('').parts
    if parts == ('__init__', ):
        assert set(imports(path)) <= sys.stdlib_module_names  # where the toolboxes are not installed
        return
    layer = LAYERS.index(parts[0])
    for name in imports(path):
        if name.startswith('pic_plugin.'):
            assert LAYERS.index(name.split('.')[1]) <= layer, name
        elif parts[0] in TORCH_ONLY:
            assert name.split('.')[0] in {'torch', *sys.stdlib_module_names}, name


def test_every_module_has_its_layer():
    top = {path.relative_to(ROOT / 'pic_plugin').parts[0].removesuffix('.py') for path in FILES}
    assert top == {*LAYERS, '__init__'}
