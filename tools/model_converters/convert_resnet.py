"""Convert a ResNet between mmpretrain, torchvision and Detectron2.

The source is mmpretrain's checkpoint, a backbone by itself, a released file, or torchvision's or timm's state dict.
--to mmpretrain gives backbone.… and head.fc where there is a classifier.  --to detectron2 gives the backbone alone, a
pickle of numpy arrays, and Detectron2's config has to say what the network was trained with.  For the ImageNet configs
here: MODEL.RESNETS.STRIDE_IN_1X1: False, INPUT.FORMAT: "RGB", MODEL.PIXEL_MEAN: [123.675, 116.28, 103.53],
MODEL.PIXEL_STD: [58.395, 57.12, 57.375], and for ResNet-18 and 34 MODEL.RESNETS.RES2_OUT_CHANNELS: 64.
"""
import argparse
from pathlib import Path

from pic_plugin.checkpoints.convert import convert_file, save_detectron2, save_torch
from pic_plugin.checkpoints.read import load_network
from pic_plugin.checkpoints.resnet_names import detectron2_names, mmpretrain_names, torchvision_names

FORMATS = {
    'mmpretrain': (mmpretrain_names, save_torch),
    'torchvision': (torchvision_names, save_torch),
    'detectron2': (detectron2_names, save_detectron2),
}


def main() -> None:
    """Read, rename, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='a checkpoint, .pth or .safetensors')
    parser.add_argument('out', type=Path, help='the file to write; it must not exist')
    parser.add_argument('--to', choices=FORMATS, required=True, help='whose names it gets')
    args = parser.parse_args()
    rename, save = FORMATS[args.to]
    convert_file(args.source, args.out, lambda path: rename(load_network(path)), save)


if __name__ == '__main__':
    main()
