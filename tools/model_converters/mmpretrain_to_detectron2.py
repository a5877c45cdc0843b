"""Convert the backbone of a ResNet to Detectron2's format, a pickle of numpy arrays.

Detectron2's config has to say what the network was trained with.  For the ImageNet configs here:
MODEL.RESNETS.STRIDE_IN_1X1: False, INPUT.FORMAT: "RGB", MODEL.PIXEL_MEAN: [123.675, 116.28, 103.53],
MODEL.PIXEL_STD: [58.395, 57.12, 57.375], and for ResNet-18 and 34 MODEL.RESNETS.RES2_OUT_CHANNELS: 64.
"""
import argparse
from pathlib import Path

from pic_plugin.checkpoints.convert import convert_file, save_detectron2
from pic_plugin.checkpoints.read import load_tensors_only, network_tensors
from pic_plugin.checkpoints.resnet_names import detectron2_names


def main() -> None:
    """Read, rename, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help="mmpretrain's checkpoint, backbone.pth, or a released file")
    parser.add_argument('out', type=Path, help='the .pkl file to write; it must not exist')
    args = parser.parse_args()
    convert_file(args.source, args.out,
                 lambda path: detectron2_names(network_tensors(load_tensors_only(path), path)), save_detectron2)


if __name__ == '__main__':
    main()
