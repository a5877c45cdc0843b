import importlib
import json

import cv2
import matplotlib
import pytest

from pic_plugin.visualization import plot_curves, read_scalars

BLUE, ORANGE = (180, 119, 31), (14, 127, 255)  # matplotlib's, as OpenCV has them


def log(folder, entries):
    path = folder / 'vis_data/scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text('\n'.join(map(json.dumps, entries)))
    return path


def loss(step, value):
    return {'loss': value, 'epoch': -(-step // 5), 'iter': step, 'step': step}


def drawn(folder):
    plot_curves(folder, folder / 'curves.png')
    image = cv2.imread(str(folder / 'curves.png'))
    return image.shape, {tuple(pixel) for pixel in image.reshape(-1, 3)}


def test_a_run_that_was_resumed_counts_once(tmp_path):
    log(tmp_path / '20260101_000000', [loss(5, 3.0), {'knn/top1_k20': 50.0, 'step': 1}, loss(10, 2.9)])
    log(tmp_path / '20260102_000000', [loss(10, 2.0), {'knn/top1_k20': 60.0, 'step': 2}])
    scalars = read_scalars(tmp_path)
    assert [entry['loss'] for entry in scalars if 'loss' in entry] == [3.0, 2.0]
    assert [entry['knn/top1_k20'] for entry in scalars if 'loss' not in entry] == [50.0, 60.0]
    shape, colours = drawn(tmp_path)
    assert shape == (480, 1440, 3) and BLUE in colours and ORANGE not in colours


def test_what_several_hooks_measure_after_an_epoch_is_kept(tmp_path):
    log(tmp_path / 'run', [loss(5, 3.0), {'health/rank_backbone': 9.0, 'step': 1}, {'knn/top1_k20': 50.0, 'step': 1}])
    assert read_scalars(tmp_path)[0] == {'health/rank_backbone': 9.0, 'knn/top1_k20': 50.0, 'step': 1}


def test_a_panel_for_each_kind(tmp_path):
    sizes = []
    health = {'health/instance_top1': 1.0, 'health/images_visited': 50.0, 'health/rank_backbone': 3.0,
              'health/loss_within_5': 2.0, 'health/visits_per_image': 1.0}
    for i, names in enumerate((0, 2, 3, 4)):
        log(tmp_path / str(i) / 'run', [loss(5, 3.0), {'step': 1, **dict(list(health.items())[:names])}])
        shape, colours = drawn(tmp_path / str(i))
        sizes.append(shape[:2])
        assert (ORANGE in colours) == (names > 0)  # a second line in a panel
    assert sizes == [(480, 720), (480, 1440), (720, 1440), (720, 1440)]


def test_by_iterations(tmp_path):
    log(tmp_path / 'run', [{'loss': 3.0, 'iter': 5, 'step': 5}, {'health/rank_backbone': 3.0, 'step': 5}])
    assert BLUE in drawn(tmp_path)[1]


def test_a_line_that_a_killed_run_left_is_no_number(tmp_path):
    path = log(tmp_path / 'run', [loss(5, 3.0)])
    path.write_text(path.read_text() + '\n{"loss": 2.')
    assert read_scalars(tmp_path) == [loss(5, 3.0)]


def test_a_drawing_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    log(tmp_path / 'run', [loss(5, 3.0)])
    drawn(tmp_path)
    before = (tmp_path / 'curves.png').read_bytes()

    def savefig(self, path, **kwargs):
        path.write_bytes(b'half a')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('matplotlib.figure.Figure.savefig', savefig)
    with pytest.raises(OSError, match='No space left'):
        plot_curves(tmp_path, tmp_path / 'curves.png')
    assert (tmp_path / 'curves.png').read_bytes() == before


def test_nothing_was_logged(tmp_path):
    with pytest.raises(ValueError, match='has no log of a loss'):
        plot_curves(tmp_path, tmp_path / 'curves.png')


@pytest.mark.parametrize('module', ['curves', 'saliency'])
def test_pyplots_backend_is_the_callers(module):
    before = matplotlib.get_backend()
    try:
        matplotlib.use('svg')
        importlib.reload(importlib.import_module(f'pic_plugin.visualization.{module}'))
        assert matplotlib.get_backend() == 'svg'
    finally:
        matplotlib.use(before)
