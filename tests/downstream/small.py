"""The published detection and segmentation with sizes cut by --cfg-options, so that a run on two cores takes minutes.

``python -m tests.downstream.small OUT`` draws scenes, pre-trains a small network on many without labels, tunes it to
both tasks on few, from its checkpoint and from random weights, and prints what the evaluators say: mean and spread over
seeds.  The same command goes on where it was stopped.
"""
import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from pic_plugin.visualization.curves import read_scalars
from tests.tiny import ROOT

PRETRAINING = 'configs/pic/pic_r50_8xb64_200e.py'
DETECTION = 'configs/detection/faster-rcnn_r50-c4_24k_voc0712.py'
SEGMENTATION = 'configs/segmentation/fcn_r50-d16_60k_cityscapes-769x769.py'
TASKS = {'detection': DETECTION, 'segmentation': SEGMENTATION}
ITERS = {DETECTION: 800, SEGMENTATION: 200}  # after 200, a detector has not learnt enough to compare starts
UNIT = {DETECTION: 100, SEGMENTATION: 1}  # the metrics times this are percent
# what the tables show, under the evaluators' names
REPORTED = {
    DETECTION: ('coco/bbox_mAP', 'coco/bbox_mAP_50', 'coco/bbox_mAP_75', 'pascal_voc/mAP', 'pascal_voc/AP50',
                'pascal_voc/AP75'),
    SEGMENTATION: ('mIoU', ),
}


def runtime_options(iters: int) -> dict[str, Any]:
    """The shorter schedule, and no processes for so few images."""
    return {
        'train_cfg.max_iters': iters, 'train_cfg.val_interval': iters, 'default_hooks.logger.interval': min(10, iters),
        **{f'{loader}_dataloader.{key}': value for loader in ('train', 'val')
           for key, value in (('num_workers', 0), ('persistent_workers', False))},
    }


def detection_options(shapes: Path, iters: int) -> dict[str, Any]:
    """ResNet-18, two images of 128 x 96 or 160 x 120 pixels, 16 RoIs each, of 6 x 6 features, 3 x 3 after conv5."""
    voc = str(shapes / 'VOCdevkit')
    return {
        **runtime_options(iters),
        'model.backbone.depth': 18, 'model.roi_head.shared_head.depth': 18,
        'model.rpn_head.in_channels': 256, 'model.rpn_head.feat_channels': 64,
        'model.roi_head.bbox_roi_extractor.out_channels': 256,
        'model.roi_head.bbox_roi_extractor.roi_layer.output_size': 6,
        'model.roi_head.bbox_head.in_channels': 512, 'model.roi_head.bbox_head.roi_feat_size': 3,
        'model.train_cfg.rpn.sampler.num': 64, 'model.train_cfg.rcnn.sampler.num': 16,
        **{f'model.{cfg}.{key}': value for cfg in ('train_cfg.rpn_proposal', 'test_cfg.rpn')
           for key, value in (('nms_pre', 200), ('max_per_img', 20))},
        **{f'train_dataloader.dataset.datasets.{i}.{key}': value for i in (0, 1)
           for key, value in (('data_root', voc), ('pipeline.2.scales', [(128, 96), (160, 120)]))},
        'val_dataloader.dataset.data_root': voc, 'val_dataloader.dataset.pipeline.1.scale': (128, 96),
        'param_scheduler.0.end': iters // 4, 'param_scheduler.1.end': iters,
        'param_scheduler.1.milestones': [iters * 3 // 4, iters * 11 // 12],
    }


def segmentation_options(shapes: Path, iters: int) -> dict[str, Any]:
    """ResNet-18 with 64 channels in the head, four crops of 65 x 65 pixels."""
    cityscapes = str(shapes / 'cityscapes')
    return {
        **runtime_options(iters),
        'model.backbone.depth': 18, 'model.decode_head.in_channels': 512, 'model.decode_head.channels': 64,
        'model.data_preprocessor.size': (65, 65),
        'train_dataloader.batch_size': 4,
        'train_dataloader.dataset.data_root': cityscapes, 'val_dataloader.dataset.data_root': cityscapes,
        'train_dataloader.dataset.pipeline.2.scale': (128, 64),
        'train_dataloader.dataset.pipeline.3.crop_size': (65, 65),
        'param_scheduler.0.end': iters, 'param_scheduler.0.T_max': iters,
    }


OPTIONS = {DETECTION: detection_options, SEGMENTATION: segmentation_options}
RANDOM_WEIGHTS = {
    DETECTION: {'model.backbone.init_cfg': None, 'model.roi_head.shared_head.init_cfg': None},
    SEGMENTATION: {'model.backbone.init_cfg': None},
}


def small_config(path: str, shapes: Path, work_dir: Path, iters: int) -> Config:
    """A config with its sizes cut, for a runner in this process."""
    cfg = Config.fromfile(ROOT / path)
    cfg.merge_from_dict({
        **OPTIONS[path](shapes, iters), 'work_dir': str(work_dir), 'default_hooks.logger.interval': 1,
        'experiment_name': str(work_dir).replace('/', '_')})  # mmengine keeps one log per name
    return cfg


def command(*arguments: str, checkpoint: str = 'none') -> None:
    """Run one of the project's commands."""
    environment = {**os.environ, 'CHECKPOINT': checkpoint, 'PYTHONWARNINGS': 'ignore',
                   'PYTHONPATH': f'{ROOT}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'}
    subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, check=True)


def train(path: str, work_dir: Path, checkpoint: str, options: dict[str, Any]) -> list[dict]:
    """Train, unless just this is done, and return what was logged."""
    done, settings = work_dir / 'done', f'{path} {checkpoint} {options}\n'
    if not done.exists() or done.read_text() != settings:
        shutil.rmtree(work_dir, ignore_errors=True)
        command('tools/train.py', path, '--work-dir', str(work_dir), '--cfg-options',
                *(f'{key}={value}' for key, value in options.items()), checkpoint=checkpoint)
        done.write_text(settings)
    return read_scalars(work_dir)


def pretraining_options(scenes: Path, epochs: int) -> dict[str, Any]:
    """ResNet-18 on views of 64 pixels.  Without BatchNorm in the projection nothing is learnt in so short a time."""
    return {
        'model.backbone.depth': 18, 'model.neck._delete_': True, 'model.neck.type': 'NonLinearNeck',
        'model.neck.in_channels': 512, 'model.neck.hid_channels': 512, 'model.neck.out_channels': 128,
        'model.neck.num_layers': 2, 'model.neck.with_avg_pool': True, 'model.neck.norm_cfg.type': 'BN1d',
        'model.head.num_negatives': 1024, 'train_dataloader.batch_size': 64, 'train_dataloader.num_workers': 1,
        'train_dataloader.dataset.data_root': scenes, 'train_dataloader.dataset.pipeline.0.crops.size': 64,
        'train_dataloader.sampler.window_size': 512, 'train_dataloader.sampler.window_stride': 64,
        'default_hooks.logger.interval': 10, 'train_cfg.max_epochs': epochs, 'param_scheduler.0.end': 1,
        'param_scheduler.1.begin': 1, 'param_scheduler.1.end': epochs}


def cell(values: Sequence[float]) -> str:
    """Mean and spread, in percent."""
    return f'{np.mean(values):.1f} ± {np.std(values):.1f}'


def main() -> None:
    """Train everything; print the table, and write it beside the runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('out', type=Path)
    parser.add_argument('--scenes', type=int, default=2000, help='of each kind, without labels')
    parser.add_argument('--epochs', type=int, default=10, help='of the pre-training')
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--only', nargs='+', choices=list(TASKS), default=list(TASKS))
    args = parser.parse_args()
    out = args.out.absolute()
    shapes, pretraining = out / f'shapes-{args.scenes}', out / f'pretraining-{args.scenes}-{args.epochs}'
    command('tools/dataset_converters/write_shapes.py', str(shapes), '--unlabelled', str(args.scenes))
    train(PRETRAINING, pretraining, 'none', pretraining_options(shapes / 'unlabelled', args.epochs))

    rows = []
    for task in args.only:
        path = TASKS[task]
        for start in ('pre-trained', 'random'):
            small = {**OPTIONS[path](shapes, ITERS[path]), **(RANDOM_WEIGHTS[path] if start == 'random' else {})}
            logs = [train(path, out / f'{task}_{start}_{seed}', str(pretraining / 'backbone.pth'),
                          {**small, 'randomness.seed': seed}) for seed in range(args.seeds)]
            measured = [next(line for line in reversed(log) if REPORTED[path][0] in line) for log in logs]
            metrics = ', '.join(f'{name} {cell([line[name] * UNIT[path] for line in measured])}'
                                for name in REPORTED[path])
            loss = np.mean([[line['loss'] for line in log if 'loss' in line][-1] for log in logs])
            rows.append(f'| {task} | {start} | {loss:.3f} | {metrics} |')
    table = '\n'.join(['| task | weights | last loss | mean ± spread over seeds |', '|---|---|---|---|', *rows])
    print(table)
    (out / 'table.md').write_text(table + '\n')


if __name__ == '__main__':
    main()
