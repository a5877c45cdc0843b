"""Divide the classes of labelled images into equally large clusters, as PIC's Appendix F does.

Writes a file for train_dataloader.dataset.class_of_image: each cluster becomes a class.  The clusters of a label are
found by constrained k-means, Euclidean, on the features of a backbone, which was usually trained with the labels.
"""
import argparse
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from pic_plugin.checkpoints.read import load_tensors_only
from pic_plugin.commands.options import ConfigOptions
from pic_plugin.evaluation.label_clusters import write_clusters


def main() -> None:
    """Extract features, divide, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='names the model, and bank_dataloader: the images, with labels, not shuffled')
    parser.add_argument('backbone', type=Path, help="a dict of the backbone's tensors, such as backbone.pth")
    parser.add_argument('num_classes', type=int, help='how many clusters all labels have together')
    parser.add_argument('out', type=Path, help='the file that is written')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    args = parser.parse_args()
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.default_scope)
    loader = Runner.build_dataloader(cfg.bank_dataloader)
    model = MODELS.build(cfg.model)
    model.backbone.load_state_dict(load_tensors_only(args.backbone))
    write_clusters(loader, args.num_classes, model, args.out, print)
    print(f'{args.out}: {len(loader.dataset)} images, {args.num_classes} classes; names are relative to '
          f'{loader.dataset.img_prefix}')


if __name__ == '__main__':
    main()
