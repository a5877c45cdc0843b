"""Clusters within labels, from images to the file that InstanceDataset reads."""
import os

import numpy as np
import pytest
import torch

from pic_plugin.datasets import InstanceDataset
from tests.tiny import TinyBackbone, write_images
from tests.tools.scripts import run_tool

CONFIG = """
default_scope = 'mmpretrain'
custom_imports = dict(imports=['pic_plugin.datasets', 'pic_plugin.models'])
model = dict(type='PIC', data_preprocessor=dict(type='InstanceDataPreprocessor', mean=[127.0], std=[64.0]),
             backbone=dict(type='TinyBackbone'), head=dict(type='CosineInstanceHead', in_channels=6))
load = [dict(type='LoadImageFromFile', color_type='grayscale'), dict(type='PackInputs')]
bank_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'), dataset=dict(type='CustomDataset', data_root={root!r}, pipeline=load))
"""


@pytest.fixture
def arguments(tmp_path):
    images = write_images(tmp_path / 'images', 23)  # 12 of label a, 11 of label b
    os.rename(images / 'b/001.png', images / 'b/with a blank.png')
    (tmp_path / 'config.py').write_text(CONFIG.format(root=str(images)))
    torch.manual_seed(0)
    torch.save(TinyBackbone().state_dict(), tmp_path / 'backbone.pth')
    return tmp_path / 'config.py', tmp_path / 'backbone.pth'


@pytest.mark.parametrize('num_classes', [2, 6, 22])
def test_the_file_fits_the_data_set(arguments, tmp_path, num_classes):
    run_tool('cluster_classes.py', *arguments, num_classes, tmp_path / 'images/classes.txt')
    data = InstanceDataset(str(tmp_path / 'images'), class_of_image='classes.txt', pipeline=[])
    classes = data.class_of_image.numpy()
    labels = np.array(['/b/' in data.get_data_info(i)['img_path'] for i in range(len(data))])
    for label in (False, True):
        sizes = np.unique(classes[labels == label], return_counts=True)[1]
        assert len(sizes) == num_classes // 2 and sizes.max() - sizes.min() <= 1
    assert not set(classes[labels]) & set(classes[~labels])


@pytest.mark.parametrize('num_classes', [0, 3, 24])
def test_numbers_that_labels_cannot_have(arguments, tmp_path, num_classes):
    with pytest.raises(ValueError, match=f'num_classes must be a multiple of the 2 labels, and at most 11 times as '
                                         f'many, .* got {num_classes}'):
        run_tool('cluster_classes.py', *arguments, num_classes, tmp_path / 'classes.txt')
    assert not (tmp_path / 'classes.txt').exists()
