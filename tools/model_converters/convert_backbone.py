"""Put a backbone's tensors into the names that mmpretrain's backbones have: what configs/continue start from.

SOURCE is a run, a release, a file of weights (of ResNets and vision transformers of torchvision, timm, mmpretrain and
DINOv2), a name of mmpretrain's or timm's, or NAME=FILE.  The config of the backbone is printed.
"""
import argparse
from pathlib import Path

from pic_plugin.checkpoints.convert import convert_file, save_safetensors, save_torch
from pic_plugin.model_zoo.start import find_start


def main() -> None:
    """Find, rename, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', help='a folder, a file, a name, or NAME=FILE')
    parser.add_argument('out', type=Path, help='the file to write, .pth or .safetensors; it must not exist')
    args = parser.parse_args()
    start = find_start(args.source)
    convert_file(Path(start.source), args.out, lambda _: start.state,
                 save_safetensors if args.out.suffix == '.safetensors' else save_torch)
    print(f'backbone={start.backbone!r}')


if __name__ == '__main__':
    main()
