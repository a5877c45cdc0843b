"""Cityscapes segmentation with mmseg: the network, and a short training through the real runner."""
import pytest

pytest.importorskip('mmseg', reason='mmseg and mmcv with compiled ops are in .venv-downstream: make test-downstream')

import numpy as np
import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch import nn

from tests.downstream.small import RANDOM_WEIGHTS, SEGMENTATION, small_config
from tests.tiny import ROOT


@pytest.fixture(scope='module')
def model(resnet50):
    """The published network, from a checkpoint, with plain BatchNorm: mmengine reverts SyncBN only in a runner."""
    cfg = Config.fromfile(ROOT / SEGMENTATION)
    cfg.merge_from_dict({'model.backbone.init_cfg.checkpoint': resnet50, 'model.backbone.norm_cfg.type': 'BN',
                         'model.decode_head.norm_cfg.type': 'BN'})
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def test_backbone_is_torchvisions_network_with_a_dilated_conv5(model, resnet50):
    reference = torchvision.models.resnet50(replace_stride_with_dilation=[False, False, True])
    reference.load_state_dict(torch.load(resnet50, weights_only=True), strict=False)
    first = reference.layer4[0].conv2  # the paper dilates all 3x3 convolutions of conv5; torchvision leaves this one
    first.dilation = first.padding = (2, 2)
    reference.fc = reference.avgpool = nn.Identity()
    images = torch.randn(1, 3, 97, 97, generator=torch.Generator().manual_seed(0))
    model.eval()
    reference.eval()
    with torch.no_grad():
        features, = model.backbone(images)
        assert features.shape == (1, 2048, 7, 7)  # a 16th of the image's size
        torch.testing.assert_close(features.flatten(1), reference(images), rtol=1e-4, atol=1e-4)


def test_head_is_two_dilated_convolutions_and_a_1x1(model):
    convs = [module for module in model.decode_head.modules() if isinstance(module, nn.Conv2d)]
    found = {(conv.in_channels, conv.out_channels, *conv.kernel_size, *conv.dilation) for conv in convs}
    assert found == {(2048, 256, 3, 3, 6, 6), (256, 256, 3, 3, 6, 6), (256, 19, 1, 1, 1, 1)} and len(convs) == 3
    assert sum(isinstance(module, nn.BatchNorm2d) for module in model.decode_head.modules()) == 2
    assert sum(isinstance(module, nn.ReLU) for module in model.decode_head.modules()) == 2
    assert model.decode_head.dropout is None and not model.with_auxiliary_head
    assert all(parameter.requires_grad for parameter in model.parameters())


def train(shapes, work_dir, iters, **changes):
    """Losses of all iterations, and the metrics after the last."""
    runner = Runner.from_cfg(small_config(SEGMENTATION, shapes, work_dir, iters, **changes))
    runner.train()
    scalars = runner.message_hub.log_scalars
    return scalars['train/loss'].data[0], scalars['val/mIoU'].current() if 'val/mIoU' in scalars else None


def test_training_from_a_checkpoint_and_from_random_weights(shapes, resnet18, tmp_path):
    losses, miou = train(shapes, tmp_path / 'checkpoint', 24, model__backbone__init_cfg__checkpoint=resnet18)
    assert len(losses) == 24 and np.mean(losses[-4:]) < 0.75 * np.mean(losses[:4])
    assert 0 < miou <= 100
    random = {key.replace('.', '__'): value for key, value in RANDOM_WEIGHTS[SEGMENTATION].items()}
    # the same seed and the same data: what differs is where the weights come from
    others = [train(shapes, tmp_path / f'random{i}', 2, val_cfg=None, val_dataloader=None, val_evaluator=None,
                    **random)[0] for i in range(2)]
    np.testing.assert_array_equal(*others)
    assert abs(others[0][0] - losses[0]) > 1e-3


@pytest.mark.parametrize('changes, error, message', [
    (dict(model__backbone__init_cfg__checkpoint='none'), ValueError, 'no checkpoint is given: set CHECKPOINT='),
    (dict(model__backbone__depth=34), ValueError, 'is it a network of another kind or depth?'),
    (dict(train_dataloader__dataset__data_prefix__img_path='leftImg8bit/none'), FileNotFoundError, 'leftImg8bit/none'),
    # as delivered: without the labels by training id
    (dict(train_dataloader__dataset__seg_map_suffix='_gtFine_missing.png'), FileNotFoundError, '_gtFine_missing.png'),
])
def test_what_stops_a_training(shapes, resnet18, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        train(shapes, tmp_path, 1, **{'model__backbone__init_cfg__checkpoint': resnet18, **changes})
    assert not list(tmp_path.rglob('*.pth'))
