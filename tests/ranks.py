"""Run functions in processes of their own, on several ranks or by themselves."""
import gc
import os
import tempfile
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

# imports take longer than what most of these processes do: a server makes them once, and forks
mp.set_forkserver_preload(['tests.engine.train_tiny'])
PROCESSES = mp.get_context('forkserver')


def _rank_main(rank: int, function: Callable, world_size: int, folder: str, backend: str, args: tuple) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world_size))
    if backend == 'nccl':
        torch.cuda.set_device(rank)
    dist.init_process_group(backend, init_method=f'file://{folder}/rendezvous', rank=rank, world_size=world_size)
    torch.save(function(rank, world_size, *args), f'{folder}/{rank}.pt')
    gc.collect()  # groups that were made on the way, whose threads must not outlive Python
    dist.barrier()
    dist.destroy_process_group()


def run_ranks(function: Callable, world_size: int, *args: Any, backend: str = 'gloo') -> list[Any]:
    """``function(rank, world_size, *args)`` of every rank; one rank runs here, without a process group."""
    if world_size == 1:
        return [function(0, 1, *args)]
    with tempfile.TemporaryDirectory() as folder:
        # the server has asked for GPUs, after which CUDA does not work in what is forked
        mp.start_processes(_rank_main, (function, world_size, folder, backend, args), world_size,
                           start_method='forkserver' if backend == 'gloo' else 'spawn')
        return [torch.load(f'{folder}/{rank}.pt', weights_only=False) for rank in range(world_size)]
