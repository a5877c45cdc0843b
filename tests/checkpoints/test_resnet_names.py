import pytest
import torch
from mmpretrain.models import ResNetV1d
from torchvision.models import get_model, list_models

from pic_plugin.checkpoints.resnet_names import (
    backbone_names,
    detectron2_names,
    mmpretrain_names_of_authors,
    torchvision_architecture,
    torchvision_names,
)


def state_of(architecture):
    with torch.device('meta'):
        return get_model(architecture, weights=None).state_dict()


@pytest.mark.parametrize('architecture', list_models(include=['resnet*', 'resnext*', 'wide_resnet*']))
def test_torchvisions_own(architecture):
    assert torchvision_architecture(backbone_names(state_of(architecture))) == architecture


def test_all_of_torchvisions_resnets_are_known():
    # resnet, resnext and wide_resnet: whoever adds one there, adds it here
    assert len(list_models(include=['resnet*', 'resnext*', 'wide_resnet*'])) == 10


def test_networks_of_before_there_was_num_batches_tracked():
    state = {name: x for name, x in state_of('resnet18').items() if 'num_batches' not in name}
    assert set(torchvision_names(state)) == set(state)


def test_a_stage_is_missing():
    state = {name: x for name, x in state_of('resnet50').items() if not name.startswith('layer4')}
    with pytest.raises(ValueError, match='the nearest is resnet50, with 50 differences: layer4.0.bn1.bias is missing, '
                                         r'expected \(512,\)'):
        torchvision_names(state)


def test_another_number_of_channels():
    state = state_of('resnet18') | {'conv1.weight': torch.zeros(64, 1, 7, 7)}
    with pytest.raises(ValueError, match=r'resnet18, with 1 differences: conv1.weight is \(64, 1, 7, 7\), expected '
                                         r'\(64, 3, 7, 7\)'):
        detectron2_names(state)


def test_a_deep_stem():
    state = ResNetV1d(depth=18).state_dict()
    with pytest.raises(ValueError, match=r'torchvision has no deep stem \(ResNetV1c, ResNetV1d\); the nearest is'):
        torchvision_names(state)


def test_no_encoder():
    with pytest.raises(ValueError, match='tensors named module.encoder.… were expected, .* got conv1.weight, bn1'):
        mmpretrain_names_of_authors(state_of('resnet18'))


def test_half_an_encoder():
    state = {f'module.encoder.{name}': x for name, x in state_of('resnet18').items() if not name.startswith('layer4')}
    with pytest.raises(ValueError, match='the nearest is resnet18, with 25 differences'):
        mmpretrain_names_of_authors(state)


def test_detectron2s_names():
    """Those that its documentation and its own conversion of torchvision's networks name."""
    names = detectron2_names(state_of('resnet50'))
    for name in ('stem.conv1.weight', 'stem.conv1.norm.weight', 'stem.conv1.norm.running_mean', 'res2.0.conv1.weight',
                 'res2.0.conv1.norm.bias', 'res2.0.shortcut.weight', 'res2.0.shortcut.norm.running_var',
                 'res3.3.conv3.norm.weight', 'res5.2.conv3.weight'):
        assert name in names
    assert len(names) == 318 and not any('bn' in name or 'layer' in name or 'fc' in name for name in names)
