"""The release that lies in the repository: as the zoo says, and good for something."""
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from mmpretrain.datasets import CustomDataset

from pic_plugin.evaluation.features import features_of
from pic_plugin.evaluation.probes import Labelled, knn_accuracy
from pic_plugin.model_zoo.network import load_network, untrained
from pic_plugin.model_zoo.verification import verify
from tests.tiny import ROOT
from tests.tools.scripts import run_tool

FOLDER = ROOT / 'releases/pic_r18-3stage-w16_1xb128_8e_glyphs'
FONTS = Path(matplotlib.get_data_path()) / 'fonts/ttf'
LABELS = 62


@pytest.mark.parametrize('suffix', ['pth', 'safetensors'])
def test_files_are_those_of_the_zoo(suffix):
    path, = FOLDER.glob(f'*.{suffix}')
    assert 'as in the zoo' in next(lines := verify(path, ROOT)) and list(lines)
    assert path.stat().st_size < 3 << 20


def test_neighbours_are_the_same_letter_more_often_than_before_training(tmp_path):
    """On fonts that come with matplotlib, some of them against the others."""
    run_tool('dataset_converters/write_glyphs.py', FONTS, tmp_path / 'glyphs')
    network = load_network(FOLDER)
    accuracies = [knn_accuracy(Labelled(*labelled(model, tmp_path / 'glyphs', 'train'),
                                        *labelled(model, tmp_path / 'glyphs', 'test')), 0)
                  for model in (untrained(network), network.model)]
    assert accuracies[1] > accuracies[0] + 0.05 > 1 / LABELS


def labelled(model, root, split):
    """Features and labels of a split, all images at once."""
    load = [dict(type='mmpretrain.LoadImageFromFile', color_type='grayscale')]
    dataset = CustomDataset(data_root=str(root), data_prefix=split, pipeline=load)
    images = np.stack([dataset[i]['img'].reshape(1, 28, 28) for i in range(len(dataset))])
    with torch.no_grad():
        features = features_of(model, {'inputs': torch.from_numpy(images), 'data_samples': None})
    return features, torch.tensor([dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))])
