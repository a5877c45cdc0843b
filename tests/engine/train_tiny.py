"""One rank of a tiny training run, which may kill itself: a process of test_resume.py."""
import gc
import os
import signal
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from pic_plugin.engine.hooks import instance_checkpoint_hook
from tests.tiny import network_of, rows_of, tiny_config


@HOOKS.register_module(force=True)
class StartedHook(Hook):
    """Tells the parent that training goes on."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        Path(runner.work_dir, f'started-{runner.rank}').touch()


def kill_in(name: str, call: int, after: bool) -> None:
    """SIGKILL this process before or after the ``call``-th call of a function of the checkpoint hook's module."""
    function = getattr(instance_checkpoint_hook, name)
    count = 0

    def killing(*args, **kwargs):
        nonlocal count
        count += 1
        if count == call and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*args, **kwargs)
        if count == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(instance_checkpoint_hook, name, killing)


def main(options: dict, output: str) -> None:
    os.setsid()  # so that it can be killed with the loader's workers
    file = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())
    torch.set_num_threads(1)
    rank, world_size = options['rank'], options['world_size']
    cfg = tiny_config(Path(options['images']), Path(options['work_dir']), **options['changes'])
    cfg.custom_hooks.append(dict(type='StartedHook'))
    if world_size > 1:
        os.environ.update(LOCAL_RANK=str(rank))
        dist.init_process_group('gloo', init_method=f'file://{options["rendezvous"]}', rank=rank,
                                world_size=world_size)
        cfg.launcher = 'pytorch'
        cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None)
    cfg.resume = options['resume']
    if options['kill'] and rank == 0:
        kill_in(*options['kill'])
    runner = Runner.from_cfg(cfg)
    runner.train()
    weight, momentum = rows_of(runner)
    if rank == 0:
        curve = torch.tensor(runner.message_hub.get_scalar('train/loss').data[0])
        result = dict(weight=weight, momentum=momentum, curve=curve, **network_of(runner))
        torch.save(result, options['result'])
    if world_size > 1:  # as tools/train.py does
        del runner
        gc.collect()
        dist.destroy_process_group()
