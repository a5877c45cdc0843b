"""Cityscapes segmentation with mmseg: the network."""
import pytest

pytest.importorskip('mmseg', reason='mmseg and mmcv with compiled ops are in .venv-downstream: make test-downstream')

import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn

from tests.checkpoints.networks import torchvision_maps
from tests.downstream.small import SEGMENTATION
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
    images = torch.randn(1, 3, 97, 97, generator=torch.Generator().manual_seed(0))
    model.eval()
    reference.eval()
    with torch.no_grad():
        features, = model.backbone(images)
        assert features.shape == (1, 2048, 7, 7)  # a 16th of the image's size
        torch.testing.assert_close(features, torchvision_maps(reference, images)[-1], rtol=1e-4, atol=1e-4)


def test_head_is_two_dilated_convolutions_and_a_1x1(model):
    convs = [module for module in model.decode_head.modules() if isinstance(module, nn.Conv2d)]
    found = {(conv.in_channels, conv.out_channels, *conv.kernel_size, *conv.dilation) for conv in convs}
    assert found == {(2048, 256, 3, 3, 6, 6), (256, 256, 3, 3, 6, 6), (256, 19, 1, 1, 1, 1)} and len(convs) == 3
    assert sum(isinstance(module, nn.BatchNorm2d) for module in model.decode_head.modules()) == 2
    assert sum(isinstance(module, nn.ReLU) for module in model.decode_head.modules()) == 2
    assert model.decode_head.dropout is None and not model.with_auxiliary_head
    assert all(parameter.requires_grad for parameter in model.parameters())
