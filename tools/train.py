"""Pre-train, or evaluate a checkpoint by training on: python tools/train.py CONFIG, or tools/dist_train.sh CONFIG GPUS.

The configs under configs/pic pre-train; the others take a checkpoint: CHECKPOINT=path python tools/train.py CONFIG.
"""
import argparse
import gc
import os
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from pic_plugin.datasets import check_data

_AMP = {'OptimWrapper': 'AmpOptimWrapper', 'WeightCorrectingOptimWrapper': 'AmpWeightCorrectingOptimWrapper'}


def parse_args() -> argparse.Namespace:
    """The options that mmpretrain's users know."""
    parser = argparse.ArgumentParser(description='Train a model')
    parser.add_argument('config', help='train config file path')
    parser.add_argument('--work-dir', help='where logs and checkpoints go; work_dirs/<config> by default')
    parser.add_argument(
        '--resume', nargs='?', const='auto',
        help='resume from this checkpoint, or, with no path, from the latest one in the work directory')
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision; needs a GPU')
    parser.add_argument(
        '--auto-scale-lr', action='store_true',
        help='scale the learning rate by the batch size over all GPUs / auto_scale_lr.base_batch_size')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction,
        help='override settings of the config, as xxx.yyy=value; a list as key="[a,b]" or key=a,b')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def merge_args(cfg: Config, args: argparse.Namespace) -> Config:
    """Put the command line's options into the config."""
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs', Path(args.config).stem))
    if args.amp:
        if not torch.cuda.is_available():
            raise ValueError('--amp needs a GPU, and torch sees none')
        cfg.optim_wrapper.type = _AMP.get(cfg.optim_wrapper.type, cfg.optim_wrapper.type)
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.auto_scale_lr:
        cfg.auto_scale_lr.enable = True
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    return cfg


def use_gloo(cfg: Config) -> None:
    """Start a process group without GPUs: mmengine's own start, and its DistributedDataParallel, want them."""
    torch.distributed.init_process_group('gloo')
    cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)


def main() -> None:
    """Build the runner, and train."""
    args = parse_args()
    cfg = merge_args(Config.fromfile(args.config), args)
    check_data(cfg)
    if cfg.launcher == 'pytorch' and not torch.cuda.is_available():
        use_gloo(cfg)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    runner.train()
    if torch.distributed.is_initialized():
        # gloo's threads take Python's lock to let go of tensors, and abort the process if it is exiting by then:
        # with the last reference to a group goes a wait for its threads
        del runner
        gc.collect()
        torch.distributed.destroy_process_group()


if __name__ == '__main__':
    main()
