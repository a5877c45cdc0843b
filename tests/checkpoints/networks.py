"""Random ResNets of several libraries, and a Detectron2 one written from its documentation."""
import os
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import get_model


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, fuse: Path) -> None:
        self.fuse = fuse

    def __reduce__(self):
        return os.system, (f'touch {self.fuse}', )


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """BatchNorm with statistics and weights of its own in each channel, in eval mode: a swap of two would be seen."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if name.endswith('running_var'):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif tensor.ndim == 1:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.2)
    network.eval()  # mmpretrain's gives nothing back
    return network


def torchvision_network(depth: int) -> nn.Module:
    torch.manual_seed(depth)
    return randomised(get_model(f'resnet{depth}', weights=None))


@torch.no_grad()
def torchvision_maps(network: nn.Module, images: Tensor) -> list[Tensor]:
    """The four stages' maps."""
    x = network.maxpool(network.relu(network.bn1(network.conv1(images))))
    maps = []
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        x = stage(x)
        maps.append(x)
    return maps


def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def head_like(*sizes: int) -> nn.ModuleDict:
    """The authors' projection head: ``fc1`` and ``fc2``, or a single ``fc``."""
    names = ['fc1', 'fc2'] if len(sizes) == 3 else ['fc']
    return nn.ModuleDict({name: nn.Linear(a, b) for name, a, b in zip(names, sizes, sizes[1:])})


def authors_checkpoint(network: nn.Module, head: nn.ModuleDict, opt: object) -> dict:
    """A checkpoint as the authors of PIC released them."""
    tensors = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith('fc.')}
    encoder = {f'module.encoder.{name}': tensor for name, tensor in (tensors | head.state_dict()).items()}
    # what is not the encoder's is in the file, too
    return {'opt': opt, 'model': encoder | {'module.criterion.weight': torch.randn(5, 3)}, 'epoch': 200,
            'optimizer': {'state': {0: {'momentum_buffer': torch.randn(3)}}, 'param_groups': [{'lr': 0.06}]}}


class Conv(nn.Conv2d):
    """Detectron2's convolution has its norm inside."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(super().forward(x))


class Block(nn.Module):
    """BasicBlock or BottleneckBlock of Detectron2, its stride in the 3x3 convolution (STRIDE_IN_1X1: False)."""

    def __init__(self, in_channels: int, out_channels: int, bottleneck: int, stride: int) -> None:
        super().__init__()
        if bottleneck:
            self.conv1 = Conv(in_channels, bottleneck, 1)
            self.conv2 = Conv(bottleneck, bottleneck, 3, stride)
            self.conv3 = Conv(bottleneck, out_channels, 1)
        else:
            self.conv1 = Conv(in_channels, out_channels, 3, stride)
            self.conv2 = Conv(out_channels, out_channels, 3)
        if in_channels != out_channels:
            self.shortcut = Conv(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(self.conv1(x).relu())
        if hasattr(self, 'conv3'):
            out = self.conv3(out.relu())
        return (out + (self.shortcut(x) if hasattr(self, 'shortcut') else x)).relu()


class Detectron2ResNet(nn.Module):
    """``stem``, ``res2`` to ``res5``, as Detectron2's ``build_resnet_backbone`` names and joins them."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.stem = nn.ModuleDict({'conv1': Conv(3, 64, 7, 2)})
        channels, bottleneck = 64, 64
        for stage, blocks in enumerate({18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth], 2):
            out_channels = bottleneck * (4 if depth >= 50 else 1)
            layers = []
            for i in range(blocks):
                layers.append(Block(channels, out_channels, bottleneck if depth >= 50 else 0,
                                    2 if stage > 2 and i == 0 else 1))
                channels = out_channels
            setattr(self, f'res{stage}', nn.Sequential(*layers))
            bottleneck *= 2

    @torch.no_grad()
    def maps(self, x: Tensor) -> list[Tensor]:
        x = nn.functional.max_pool2d(self.stem['conv1'](x).relu(), 3, 2, 1)
        maps = []
        for stage in (self.res2, self.res3, self.res4, self.res5):
            x = stage(x)
            maps.append(x)
        return maps
