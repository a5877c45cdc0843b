"""A released backbone in plain mmdet and mmseg: three lines of a config, and no plugin."""
import subprocess
import sys

import pytest

pytest.importorskip('mmdet', reason='mmdet and mmcv with compiled ops are in .venv-downstream: make test-downstream')

from tests.tiny import ROOT

SCRIPT = """
import sys, torch
sys.modules['pic_plugin'] = None  # an import of it would fail
from {toolbox}.registry import MODELS
import {toolbox}.models
backbone = MODELS.build(dict(
    type='ResNet', depth=50, num_stages=4, out_indices=(0, 1, 2, 3), style='pytorch',
    init_cfg=dict(type='Pretrained', checkpoint='{checkpoint}')))
backbone.init_weights()
tensors = torch.load('{checkpoint}', weights_only=True)
own = backbone.state_dict()
assert own.keys() == tensors.keys() and all(torch.equal(own[name], tensors[name]) for name in own)
print('took', len(own))
"""


@pytest.mark.parametrize('toolbox', ['mmdet', 'mmseg'])
def test_backbone_loads_without_the_plugin(toolbox, resnet50):
    result = subprocess.run([sys.executable, '-c', SCRIPT.format(toolbox=toolbox, checkpoint=resnet50)], cwd=ROOT,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:]
    assert 'took 318' in result.stdout
