import json

import cv2
import pytest

from pic_plugin.visualization import plot_curves, read_scalars


def log(folder, entries):
    path = folder / 'vis_data/scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(map(json.dumps, entries)))


def loss(step, value):
    return {'loss': value, 'epoch': -(-step // 5), 'iter': step, 'step': step}


def test_a_run_that_was_resumed_counts_once(tmp_path):
    log(tmp_path / '20260101_000000', [loss(5, 3.0), {'knn/top1_k20': 50.0, 'step': 1}, loss(10, 2.9)])
    log(tmp_path / '20260102_000000', [loss(10, 2.0), {'knn/top1_k20': 60.0, 'step': 2}])
    scalars = read_scalars(tmp_path)
    assert [entry['loss'] for entry in scalars if 'loss' in entry] == [3.0, 2.0]
    assert [entry['knn/top1_k20'] for entry in scalars if 'loss' not in entry] == [50.0, 60.0]
    plot_curves(tmp_path, tmp_path / 'curves.png')
    image = cv2.imread(str(tmp_path / 'curves.png'))
    assert image.shape == (540, 960, 3)
    colours = {tuple(pixel) for pixel in image.reshape(-1, 3)}
    assert (180, 119, 31) in colours and (14, 127, 255) in colours  # both curves, in matplotlib's blue and orange


def test_nothing_was_logged(tmp_path):
    with pytest.raises(ValueError, match='has no log of a loss'):
        plot_curves(tmp_path, tmp_path / 'curves.png')
