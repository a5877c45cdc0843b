"""Pre-train, or evaluate a checkpoint by training on: python tools/train.py CONFIG, or tools/dist_train.sh CONFIG GPUS.

The configs under configs/pic pre-train; the others take a checkpoint: CHECKPOINT=path python tools/train.py CONFIG.
"""
import argparse
import gc
import os
import platform
import re
import shutil
import sys
from pathlib import Path
from typing import Optional

if '--cpu' in sys.argv:  # mmengine looks for GPUs when it is imported, and takes what it finds
    os.environ['CUDA_VISIBLE_DEVICES'] = ''

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import RUNNERS

from pic_plugin.arguments import check_positive
from pic_plugin.commands.options import ConfigOptions
from pic_plugin.datasets import check_data
from pic_plugin.engine.mixed_precision import use_amp
from pic_plugin.engine.quiet_runner import ConfigKeepingRunner, QuietRunner

_DRIVER = Path('/proc/driver/nvidia/version')
# where each launcher says how many processes it starts on a machine
_PROCESSES = {'pytorch': 'LOCAL_WORLD_SIZE', 'slurm': 'SLURM_NTASKS_PER_NODE', 'mpi': 'OMPI_COMM_WORLD_LOCAL_SIZE'}
# and how many there are in all
_WORLD_SIZES = {'pytorch': 'WORLD_SIZE', 'slurm': 'SLURM_STEP_NUM_TASKS', 'mpi': 'OMPI_COMM_WORLD_SIZE'}


def parse_args() -> argparse.Namespace:
    """The options that mmpretrain's users know."""
    parser = argparse.ArgumentParser(description='Train a model', allow_abbrev=False)
    parser.add_argument('config', help='train config file path')
    parser.add_argument('--work-dir', help='where logs and checkpoints go; work_dirs/<config> by default')
    parser.add_argument(
        '--resume', nargs='?', const='auto',
        help='resume from this checkpoint, or, with no path, from the latest one in the work directory')
    parser.add_argument(
        '--amp', nargs='?', const='auto', choices=['auto', 'bf16', 'fp16'],
        help='automatic mixed precision, on a GPU; auto, or no value: bf16 where the GPU has it, fp16 elsewhere')
    parser.add_argument('--cpu', action='store_true', help='train on the CPU, whether there are GPUs or not')
    parser.add_argument(
        '--auto-scale-lr', action='store_true',
        help='scale the learning rate by the batch size over all GPUs / auto_scale_lr.base_batch_size')
    parser.add_argument(
        '--cfg-options', nargs='+', action=ConfigOptions,
        help='override settings of the config, as xxx.yyy=value; a list as key="[a,b]" or key=a,b, and '
             'a text with commas or blanks as \'key="a, b"\'')
    parser.add_argument(
        '--verbose', action='store_true',
        help='print the environment, the config, the hooks and each initialisation; the log file has them anyway')
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
        use_amp(cfg, args.amp)
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    if args.auto_scale_lr:
        scale = cfg.get('auto_scale_lr')
        if not isinstance(scale, dict):
            raise ValueError(f'--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...), the batch over all GPUs '
                             f'that optim_wrapper.optimizer.lr is for, in {args.config}, and got {scale}; add it, or '
                             '--cfg-options auto_scale_lr.base_batch_size=...')
        check_positive(int, base_batch_size=scale.get('base_batch_size'))
        scale['enable'] = True
    return cfg


def nvidia_driver() -> Optional[str]:
    """The version of this machine's NVIDIA driver, None if it has none."""
    if _DRIVER.is_file():
        version = re.search(r'\d+\.\d+(\.\d+)?', _DRIVER.read_text())
        return version[0] if version else 'unknown'
    return 'unknown (see nvidia-smi)' if shutil.which('nvidia-smi') else None


def why_no_gpu() -> str:
    """Why torch sees no GPU, in its own words, with what decides it and the way out."""
    try:
        torch.cuda.init()
        reason = 'no CUDA'
    except (AssertionError, RuntimeError) as error:
        reason = str(error).split('\n')[0].rstrip('.')
    return (f'torch sees no GPU: {reason}.  torch {torch.__version__} is built for CUDA {torch.version.cuda}; NVIDIA '
            f'driver: {nvidia_driver() or "none found"}; CUDA_VISIBLE_DEVICES: '
            f'{os.environ.get("CUDA_VISIBLE_DEVICES", "not set")}.  CUDA 13 needs a driver of the 580 series or later, '
            'CUDA 12 one of the 525 series or later: update the driver, or install torch for another CUDA as '
            'docs/gpus.md shows; to train on the CPU, add --cpu')


def fault_of(args: argparse.Namespace) -> Optional[str]:
    """Why this process cannot train on what the user asked for, None if it can."""
    if args.launcher == 'none':
        for launcher, variable in _WORLD_SIZES.items():
            if int(os.environ.get(variable, 1)) > 1:
                return (f'{variable} is {os.environ[variable]}, so this is one of several processes, and each would be '
                        f'a run of its own in the same folder: add --launcher {launcher} to train together, or unset '
                        f'{variable}')
    if args.cpu:
        if args.launcher in ('slurm', 'mpi'):
            return f'--cpu wants --launcher none or pytorch (tools/dist_train.sh), got {args.launcher}'
    elif get_device() == 'cpu':
        hidden = os.environ.get('CUDA_VISIBLE_DEVICES') in ('', '-1')
        if args.launcher != 'none' or (nvidia_driver() and not hidden):
            return why_no_gpu()
        print('torch sees no GPU: training on the CPU', flush=True)
    elif get_device() == 'cuda' and args.launcher != 'none':
        processes, gpus = int(os.environ.get(_PROCESSES[args.launcher], 1)), torch.cuda.device_count()
        if processes > gpus:
            return (f'each process needs a GPU of its own, and this machine has {processes} processes and {gpus} GPUs '
                    f'(CUDA_VISIBLE_DEVICES: {os.environ.get("CUDA_VISIBLE_DEVICES", "not set")}): start fewer '
                    'processes, or let each of them see all GPUs of its machine')
    return None


def stop_together(fault: Optional[str]) -> torch.distributed.Store:
    """Stop every rank of every machine if one cannot start: the others would wait for it.

    Returns:
        Store: through which the ranks met; to be kept, since rank 0 may be its server.

    Raises:
        ValueError: with the first rank's ``fault`` that is not None.
    """
    store, rank, world_size = next(torch.distributed.rendezvous('env://'))
    names = [f'fault of rank {i}' for i in range(world_size)]
    store.set(names[rank], f'{platform.node()}, rank {rank}: {fault}' if fault else '')
    faults = [text.decode() for text in store.multi_get(names) if text]
    if fault or faults:
        raise ValueError(fault or faults[0])
    return store


def use_gloo(cfg: Config) -> None:
    """Start a process group without GPUs: mmengine's own start, and its DistributedDataParallel, want them."""
    torch.distributed.init_process_group('gloo')
    cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)


def main() -> None:
    """Build the runner, and train."""
    args = parse_args()
    fault = fault_of(args)
    if args.launcher == 'pytorch' and not args.cpu:
        store = stop_together(fault)  # noqa: F841
    elif fault:
        raise ValueError(fault)
    cfg = merge_args(Config.fromfile(args.config), args)
    check_data(cfg)
    if args.launcher == 'pytorch' and args.cpu:
        use_gloo(cfg)
    kind = ConfigKeepingRunner if args.verbose else QuietRunner
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else kind.from_cfg(cfg)
    runner.train()
    if torch.distributed.is_initialized():
        # gloo's threads take Python's lock to let go of tensors, and abort the process if it is exiting by then:
        # with the last reference to a group goes a wait for its threads
        del runner
        gc.collect()
        torch.distributed.destroy_process_group()


if __name__ == '__main__':
    main()
