"""Small data, and checkpoints of random weights with the names of a ResNet, as released backbones have."""
import pytest
import torch
import torchvision


def write_backbone(path, depth):
    torch.manual_seed(0)
    network = getattr(torchvision.models, f'resnet{depth}')()
    tensors = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith('fc.')}
    torch.save(tensors, path)
    return str(path)


@pytest.fixture(scope='session')
def resnet18(tmp_path_factory):
    return write_backbone(tmp_path_factory.mktemp('checkpoints') / 'resnet18.pth', 18)


@pytest.fixture(scope='session')
def resnet50(tmp_path_factory):
    return write_backbone(tmp_path_factory.mktemp('checkpoints') / 'resnet50.pth', 50)


@pytest.fixture(scope='session')
def shapes(tmp_path_factory):
    from tools.dataset_converters.write_shapes import write_shapes
    out = tmp_path_factory.mktemp('data') / 'shapes'
    write_shapes(out)
    return out
