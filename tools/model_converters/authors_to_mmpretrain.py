"""Convert a checkpoint that the authors of PIC released to ours.

No code is run from it: beside tensors and plain values only argparse.Namespace, in which it keeps its options, is read.
"""
import argparse
from pathlib import Path

from torch import Tensor

from pic_plugin.checkpoints.convert import convert_file, save_torch
from pic_plugin.checkpoints.read import load_tensors_only
from pic_plugin.checkpoints.resnet_names import backbone_names, mmpretrain_names_of_authors


def read(path: Path) -> dict[str, Tensor]:
    """Backbone and neck."""
    checkpoint = load_tensors_only(path, allowed=[argparse.Namespace])
    state = checkpoint.get('model') if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict):
        raise ValueError(f'{path} is none of the checkpoints that the authors of PIC released: those have their '
                         "tensors under 'model'")
    return mmpretrain_names_of_authors(state)


def main() -> None:
    """Read, rename, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, help="the authors' checkpoint")
    parser.add_argument('out', type=Path, help='the file to write; it must not exist')
    parser.add_argument('--with-neck', action='store_true', help='write backbone.… and neck.…, not the backbone alone')
    args = parser.parse_args()
    convert_file(args.source, args.out, read if args.with_neck else lambda path: backbone_names(read(path)), save_torch)


if __name__ == '__main__':
    main()
