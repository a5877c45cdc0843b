"""Compare where two networks look in the same images, as PIC's Section 5 does with a supervised network.

    python tools/saliency.py CONFIG CHECKPOINT --against CONFIG CHECKPOINT --out FOLDER

The images are those of the first config's query_dataloader or val_dataloader.  Writes maps.png (images drawn at random,
and those that the networks differ on most), overlap.png and table.md.  Accuracy is the first network's: of its
classifier, if CHECKPOINT has it (linear evaluation, in the paper), or of the nearest neighbours in bank_dataloader.
"""
import argparse
from pathlib import Path
from typing import Optional

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from mmpretrain.registry import MODELS
from torch import Tensor

from pic_plugin.checkpoints.read import load_network
from pic_plugin.checkpoints.shapes import differences, shapes_of
from pic_plugin.commands.options import ConfigOptions
from pic_plugin.evaluation.features import extract_features
from pic_plugin.evaluation.knn import knn_classes
from pic_plugin.evaluation.saliency import Predict, baselines, saliency_of
from pic_plugin.functional.saliency import overlap
from pic_plugin.visualization import Columns, plot_maps, plot_overlaps

NUM_RANDOM, NUM_DIFFERENT = 8, 5  # columns of maps.png


def build(cfg: Config, checkpoint: Optional[Path]) -> tuple[BaseModel, bool]:
    """A network, and whether its classifier is the checkpoint's; at random if there is none.

    Raises:
        ValueError: if the backbone would not take all of the checkpoint.
    """
    model_cfg = cfg.model.copy()
    model_cfg.backbone = {key: value for key, value in cfg.model.backbone.items() if key != 'init_cfg'}
    set_random_seed(cfg.randomness.seed)
    model = MODELS.build(model_cfg)
    model.init_weights()
    state: dict[str, Tensor] = {}
    if checkpoint is not None:
        state = load_network(checkpoint)
        if not any(name.startswith('backbone.') for name in state):
            state = {f'backbone.{name}': tensor for name, tensor in state.items()}
        expected, given = (shapes_of({name: tensor for name, tensor in tensors.items() if name.startswith('backbone.')})
                           for tensors in (model.state_dict(), state))
        if faults := differences(given, expected):
            raise ValueError(f'{checkpoint} does not fit the backbone of {cfg.filename}: {"; ".join(faults[:3])}; give '
                             'the config of its training')
        model.load_state_dict(state, strict=False)
    return model.to(get_device()).eval(), any(name.startswith('head.') for name in state)


def prediction(model: BaseModel, has_classifier: bool, cfg: Config) -> Optional[Predict]:
    """What the first network takes images for; None if nothing says so."""
    if has_classifier and model.with_neck:
        return lambda stages: model.head(model.neck(stages)).argmax(1)
    if 'bank_dataloader' not in cfg:
        return None
    bank, labels = extract_features(model, Runner.build_dataloader(cfg.bank_dataloader), print)
    return lambda stages: knn_classes(stages[-1].float().mean((2, 3)), bank, labels)


def image(sample: dict, cfg: Config) -> np.ndarray:
    """``[H, W]``, or ``[H, W, 3]`` RGB, of what a pipeline gives."""
    pixels = sample['inputs'].permute(1, 2, 0).numpy()
    if pixels.shape[2] == 1:
        return pixels[..., 0]
    return pixels[..., ::-1] if cfg.model.data_preprocessor.get('to_rgb') else pixels


def main() -> None:
    """Look, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='of the pre-training, or of the linear evaluation of its backbone')
    parser.add_argument('checkpoint', type=Path, help='backbone.pth, or a checkpoint of a classifier')
    parser.add_argument('--against', nargs=2, required=True, metavar=('CONFIG', 'CHECKPOINT'),
                        help='a supervised network of the same kind')
    parser.add_argument('--names', nargs=2, default=['PIC', 'supervised'], help='of the networks, for the pictures')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/saliency'))
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='for both configs')
    args = parser.parse_args()
    cfgs = [Config.fromfile(path) for path in (args.config, args.against[0])]
    for cfg in cfgs:
        cfg.merge_from_dict(args.cfg_options or {})
    name = next((name for name in ('query_dataloader', 'val_dataloader') if name in cfgs[0]), None)
    if name is None:
        raise ValueError(f'{args.config} must have a query_dataloader or val_dataloader, with the images to look at')
    MMLogger.get_instance('saliency', log_level='WARNING')  # not each parameter's initialisation
    init_default_scope(cfgs[0].default_scope)
    loader = Runner.build_dataloader(cfgs[0][name])
    model, has_classifier = build(cfgs[0], args.checkpoint)
    models = [model, build(cfgs[1], Path(args.against[1]))[0], build(cfgs[1], None)[0]]
    found = saliency_of(models, loader, prediction(model, has_classifier, cfgs[0]), print)

    first, second, untrained = found.maps
    ours, theirs = args.names
    overlaps = {theirs: overlap(first, second), 'untrained': overlap(first, untrained), **baselines(first, second)}
    lines = [f'| overlap of the map of {ours} with | mean | smallest | largest |', '|---|---|---|---|']
    lines += [f'| {what} | {values.mean():.3f} | {values.min():.3f} | {values.max():.3f} |'
              for what, values in overlaps.items()]
    if found.correct is not None:
        lower, upper = (found.correct[half].float().mean() for half in overlaps[theirs].argsort().tensor_split(2))
        lines += ['', f'Accuracy of {ours}: {100 * found.correct.float().mean():.1f} %; of the half of the images with '
                      f'the smaller overlap {100 * lower:.1f} %, of the other {100 * upper:.1f} %.']
    args.out.mkdir(parents=True, exist_ok=True)
    table = '\n'.join(lines)
    print(f'\n{len(first)} images, maps of {first.shape[1]} x {first.shape[2]} places\n\n{table}\n')
    (args.out / 'table.md').write_text(table + '\n')
    order = torch.randperm(len(first), generator=torch.Generator().manual_seed(0))
    groups = {'drawn at random': order[:NUM_RANDOM], 'least overlap': overlaps[theirs].argsort().cpu()[:NUM_DIFFERENT]}
    plot_maps({title: Columns([image(loader.dataset[int(i)], cfgs[0]) for i in found.sample_ids[chosen]],
                              {ours: first.cpu()[chosen], theirs: second.cpu()[chosen]}, overlaps[theirs].cpu()[chosen])
               for title, chosen in groups.items()}, args.out / 'maps.png')
    plot_overlaps(overlaps, found.correct, args.out / 'overlap.png')
    for name, what in (('maps.png', f'{NUM_RANDOM} images drawn at random, {NUM_DIFFERENT} with the least overlap'),
                       ('overlap.png', 'histogram of the overlaps'), ('table.md', 'the table above')):
        print(f'{args.out / name}: {what}')


if __name__ == '__main__':
    main()
