"""Compare the features of a trained backbone with the untrained one's and with raw pixels.

Prints a table, and writes it with curves.png (loss and kNN over the epochs) into the work directory.
"""
import argparse
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from mmpretrain.registry import MODELS
from torch.utils.data import DataLoader

from pic_plugin.commands.options import ConfigOptions
from pic_plugin.evaluation.features import extract_features
from pic_plugin.evaluation.probes import Labelled, probe_table
from pic_plugin.visualization import plot_curves


def raw_pixels(loader: DataLoader) -> tuple[torch.Tensor, torch.Tensor]:
    """The images themselves: ``[M, C * H * W]``, and labels."""
    pixels, labels = [], []
    for batch in loader:
        pixels.append(batch['inputs'].flatten(1).float())
        labels += [int(sample.gt_label) for sample in batch['data_samples']]
    return torch.cat(pixels), torch.tensor(labels)


def main() -> None:
    """Evaluate, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='of the training; it names bank_dataloader and query_dataloader')
    parser.add_argument('work_dir', type=Path, help='of the training; has backbone.pth')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='those of the training, if any')
    args = parser.parse_args()
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    MMLogger.get_instance('evaluate_features', log_level='WARNING')  # not each parameter's initialisation
    init_default_scope(cfg.default_scope)
    loaders = [Runner.build_dataloader(cfg[name]) for name in ('bank_dataloader', 'query_dataloader')]
    set_random_seed(cfg.randomness.seed)
    model = MODELS.build(cfg.model)
    model.init_weights()
    features = {'raw pixels': Labelled(*raw_pixels(loaders[0]), *raw_pixels(loaders[1]))}
    features['untrained network'] = Labelled(*(x for loader in loaders for x in extract_features(model, loader)))
    model.backbone.load_state_dict(torch.load(args.work_dir / 'backbone.pth', weights_only=True))
    features['trained by PIC'] = Labelled(*(x for loader in loaders for x in extract_features(model, loader)))

    table = probe_table(features)
    print(f'\nAccuracy on {len(features["raw pixels"].test)} test images: mean ± spread over 3 seeds of the probe\n')
    print(table)
    (args.work_dir / 'table.md').write_text(table + '\n')
    plot_curves(args.work_dir, args.work_dir / 'curves.png')
    for name, what in (('curves.png', 'loss and kNN accuracy over the epochs'),
                       ('backbone.pth', 'the backbone alone, a dict of tensors'), ('table.md', 'the table above')):
        print(f'{args.work_dir / name}: {what}')


if __name__ == '__main__':
    main()
