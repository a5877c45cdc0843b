"""Divide the classes of labelled images into equally large clusters, as PIC's Appendix F does.

Writes a file for train_dataloader.dataset.class_of_image: each cluster becomes a class.  The clusters of a label are
found by constrained k-means, Euclidean, on the features of a backbone, which was usually trained with the labels.
"""
import argparse
import os
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from pic_plugin.checkpoints.read import load_tensors_only
from pic_plugin.commands.options import ConfigOptions
from pic_plugin.evaluation.equal_clusters import equal_clusters
from pic_plugin.evaluation.features import extract_features
from pic_plugin.progress import reported
from pic_plugin.whole_file import whole_file


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
    labels = np.array([loader.dataset.get_data_info(i)['gt_label'] for i in range(len(loader.dataset))])
    per_label, rest = divmod(args.num_classes, len(np.unique(labels)))
    fewest = np.unique(labels, return_counts=True)[1].min()
    if rest or not 1 <= per_label <= fewest:
        raise ValueError(f'num_classes must be a multiple of the {len(np.unique(labels))} labels, and at most '
                         f'{fewest} times as many, the images of the rarest label, got {args.num_classes}')
    model = MODELS.build(cfg.model)
    model.backbone.load_state_dict(load_tensors_only(args.backbone))
    features, seen = extract_features(model, loader, print)
    assert np.array_equal(seen.cpu().numpy(), labels)  # the loader keeps the order
    classes = np.empty_like(labels)
    for i, label in enumerate(reported(np.unique(labels), 'labels divided', print)):
        mine = np.flatnonzero(labels == label)
        classes[mine] = i * per_label + equal_clusters(features[mine].cpu().numpy(), per_label)
    root = loader.dataset.img_prefix
    names = [os.path.relpath(loader.dataset.get_data_info(i)['img_path'], root) for i in range(len(labels))]
    lines = b''.join(b'%s %d\n' % (os.fsencode(name), class_) for name, class_ in zip(names, classes))
    with whole_file(args.out, replace=True) as partial:
        partial.write_bytes(lines)
    print(f'{args.out}: {len(names)} images, {args.num_classes} classes; names are relative to {root}')


if __name__ == '__main__':
    main()
