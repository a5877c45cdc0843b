"""What several hooks ask of a runner."""
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmpretrain.models import BaseSelfSupervisor
from torch.utils.data import DataLoader

from pic_plugin.models import CosineInstanceHead

from ..checkpoint_files import latest_checkpoint


def unwrapped_model(runner: Runner) -> BaseSelfSupervisor:
    """The model, without DistributedDataParallel."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def instance_head(runner: Runner) -> CosineInstanceHead:
    """The model's instance head.

    Raises:
        ValueError: if it has none.
    """
    head = getattr(unwrapped_model(runner), 'head', None)
    if not isinstance(head, CosineInstanceHead):
        raise ValueError(f'model.head must be a CosineInstanceHead for this hook, got {type(head).__name__}')
    return head


def batch_size_per_rank(runner: Runner) -> int:
    """Samples of an iteration on one rank."""
    loader = runner.train_dataloader
    return loader.batch_size or loader.batch_sampler.batch_size


def loader_in_order(runner: Runner, order: Iterable[int], batch_size: int, num_workers: int) -> DataLoader:
    """The training's loader, with another order of the data."""
    like = runner.train_dataloader
    return DataLoader(like.dataset, batch_size, sampler=order, num_workers=num_workers, collate_fn=like.collate_fn,
                      pin_memory=like.pin_memory, worker_init_fn=like.worker_init_fn)


@contextmanager
def way_back(runner: Runner) -> Iterator[None]:
    """Add to a ``FloatingPointError``, or an ``OSError`` of the table, the checkpoint that training can go on from."""
    try:
        yield
    except FloatingPointError as error:
        raise FloatingPointError(f'{error} at iteration {runner.iter}: training stops before any row is written back; '
                                 f'{_last_good(runner, "lower the learning rate and ")}') from error
    except OSError as error:
        raise OSError(error.errno, f'{error.strerror}.  Training stops at iteration {runner.iter}; '
                                   f'{_last_good(runner)}') from error


def _last_good(runner: Runner, first: str = '') -> str:
    good = latest_checkpoint(Path(runner.work_dir))
    return f'the last good checkpoint is {good}; {first}resume from it' if good else \
        f'there is no checkpoint yet; {first}start again'
