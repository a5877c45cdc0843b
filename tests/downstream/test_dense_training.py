"""Detection and segmentation, trained shortly through the real runner on small data in the real formats."""
import pytest

for host in ('mmdet', 'mmseg'):
    pytest.importorskip(host, reason=f'{host} and mmcv with compiled ops are in .venv-downstream: make test-downstream')

import numpy as np
from mmengine.runner import Runner

from tests.downstream.small import DETECTION, RANDOM_WEIGHTS, REPORTED, SEGMENTATION, small_config

# what takes its weights from the checkpoint, and how large a metric can be
PARTS = {DETECTION: ('backbone', 'roi_head.shared_head'), SEGMENTATION: ('backbone', )}
LARGEST = {DETECTION: 1.0, SEGMENTATION: 100.0}


def train(path, shapes, work_dir, iters, checkpoint, changes):
    """Losses of all iterations, and the metrics after the last."""
    cfg = small_config(path, shapes, work_dir, iters)
    cfg.merge_from_dict({f'model.{part}.init_cfg.checkpoint': checkpoint for part in PARTS[path]})
    cfg.merge_from_dict(changes)
    runner = Runner.from_cfg(cfg)
    runner.train()
    scalars = runner.message_hub.log_scalars
    return scalars['train/loss'].data[0], {name: scalars[f'val/{name}'].current() for name in REPORTED[path]
                                           if f'val/{name}' in scalars}


@pytest.mark.parametrize('path, iters', [(DETECTION, 16), (SEGMENTATION, 24)], ids=['detection', 'segmentation'])
def test_training_from_a_checkpoint_and_from_random_weights(path, iters, shapes, resnet18, tmp_path):
    losses, metrics = train(path, shapes, tmp_path / 'checkpoint', iters, resnet18, {})
    assert len(losses) == iters and np.mean(losses[-4:]) < 0.75 * np.mean(losses[:4])
    assert metrics.keys() == set(REPORTED[path]) and all(0 <= value <= LARGEST[path] for value in metrics.values())
    # the same seed and the same data: what differs is where the weights come from
    others = [train(path, shapes, tmp_path / f'random{i}', 4, 'none', {
        **RANDOM_WEIGHTS[path], 'val_cfg': None, 'val_dataloader': None, 'val_evaluator': None})[0] for i in range(2)]
    np.testing.assert_array_equal(*others)
    assert abs(others[0][0] - losses[0]) > 1e-3


ANY = [
    ({'model.backbone.init_cfg.checkpoint': 'none'}, ValueError, 'no checkpoint is given: set CHECKPOINT='),
    ({'model.backbone.depth': 34}, ValueError, 'is it a network of another kind or depth?'),
]
OF_DETECTION = [
    ({'model.roi_head.shared_head.depth': 34}, ValueError, 'model.roi_head.shared_head must take all'),
    ({'train_dataloader.dataset.datasets.1.ann_file': 'VOC2012/ImageSets/Main/train.txt'}, FileNotFoundError,
     'VOC2012/ImageSets/Main/train.txt'),
]
OF_SEGMENTATION = [
    ({'train_dataloader.dataset.data_prefix.img_path': 'leftImg8bit/none'}, FileNotFoundError, 'leftImg8bit/none'),
    # as delivered: without the labels by training id
    ({'train_dataloader.dataset.seg_map_suffix': '_gtFine_missing.png'}, FileNotFoundError, '_gtFine_missing.png'),
]


@pytest.mark.parametrize('path, changes, error, message', [
    *((DETECTION, *case) for case in ANY + OF_DETECTION), *((SEGMENTATION, *case) for case in ANY + OF_SEGMENTATION)])
def test_what_stops_a_training(path, changes, error, message, shapes, resnet18, tmp_path):
    with pytest.raises(error, match=message):
        train(path, shapes, tmp_path, 4, resnet18, changes)
    assert not list(tmp_path.rglob('*.pth'))
