"""Convert a ResNet of torchvision or timm to mmpretrain's names: backbone.…, and head.fc where it has a classifier."""
import argparse
from pathlib import Path

from pic_plugin.checkpoints.convert import convert_file, save_torch
from pic_plugin.checkpoints.read import load_tensors_only, network_tensors
from pic_plugin.checkpoints.resnet_names import mmpretrain_names


def main() -> None:
    """Read, rename, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, help="torchvision's or timm's state dict, .pth or .safetensors")
    parser.add_argument('out', type=Path, help='the file to write; it must not exist')
    args = parser.parse_args()
    convert_file(args.source, args.out,
                 lambda path: mmpretrain_names(network_tensors(load_tensors_only(path), path)), save_torch)


if __name__ == '__main__':
    main()
