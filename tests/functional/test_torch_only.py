import subprocess
import sys

SCRIPT = """
import sys
for name in ('mmengine', 'mmcv', 'mmpretrain', 'sklearn', 'matplotlib'):
    sys.modules[name] = None  # importing it raises
import torch
import pic_plugin.functional.cosine_softmax, pic_plugin.functional.initial_rows, pic_plugin.functional.recent
import pic_plugin.functional.weight_correction, pic_plugin.functional.windows, pic_plugin.sharding
import pic_plugin.augmentations
"""


def test_equations_need_torch_alone():
    subprocess.run([sys.executable, '-c', SCRIPT], check=True)
