"""Checkpoints that are complete or not there, with the rows of all ranks, and that run no code when loaded."""
import os
import random
import shutil
from collections import deque
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.utils import apply_to

from pic_plugin.checkpoints.read import load_tensors_only
from pic_plugin.datasets import InstanceDataset, SlidingWindowSampler
from pic_plugin.functional.hashing import hash64
from pic_plugin.registry import HOOKS

from ..checksums import read_sums, sha256, write_sums
from ..resumed_schedule import progress, resume_schedule
from ..row_checkpoint import SavedRows, load_rows, save_rows
from .common import instance_head, latest_checkpoint, unwrapped_model, way_back


@HOOKS.register_module()
class InstanceCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, with what instance classification needs of it.

    A checkpoint is ``epoch_N.pth`` (network, optimizer, schedulers, log) and the folder ``epoch_N.rows`` that it names,
    which has the checksums of all files, and shares with the previous checkpoint those of rows that have not changed.
    Both are written into a folder beside, the rows by all ranks, and then renamed, the file last: once it is there, all
    of it is.  Only then are older checkpoints deleted.

    Nothing in it is pickled code: it loads with ``weights_only=True``, and a file that does not is not resumed from.

    A resumed run goes on with the bits of the one that was not interrupted: what is random in an epoch is a function of
    (seed, epoch), and the order of the data is the sampler's.

    At the end, ``backbone.pth`` in the work directory is the backbone alone, a dict of tensors.

    Args:
        args: as in :class:`mmengine.hooks.CheckpointHook`.
    """

    _to_restore: Optional[tuple[Path, dict[str, Any]]] = None  # where the rows are, and what belongs to them
    _last_saved: Optional[SavedRows] = None  # of this run: the next checkpoint writes what has changed since

    def before_run(self, runner: Runner) -> None:
        """Refuse to resume from a file that would run code.

        Raises:
            ValueError: if it is such a file, or none.
        """
        if (path := _to_resume(runner)) is not None:
            load_tensors_only(path, mmap=True)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turn the log back into mmengine's objects, and keep what the rows need.

        Raises:
            ValueError: if the checkpoint is to be resumed and has no rows.
        """
        meta = checkpoint.get('meta', {})
        meta.pop('config', None)  # mmengine would execute it
        if (path := _to_resume(runner)) is None:
            return
        if 'instance_rows' not in meta:
            raise ValueError(f'{path} has no rows to resume with; to start from its weights, set '
                             'load_from without resume')
        resume_schedule(runner, checkpoint, meta['instance_rows'].pop('progress', None))
        scalars = checkpoint['message_hub']['log_scalars']
        for name, (values, counts) in scalars.items():
            scalars[name] = HistoryBuffer(values.tolist(), counts.tolist())
        # mmengine puts a checkpoint's tensors where the network is; rows are found and counted on the host
        self._to_restore = Path(path).parent, apply_to(meta.pop('instance_rows'), torch.is_tensor, torch.Tensor.cpu)

    def before_train(self, runner: Runner) -> None:
        """Check that resuming is exact, and read the rows.

        Raises:
            ValueError: if the data set is another one than the checkpoint's, or checkpoints would fall between the
                iterations of one optimizer step, or into an epoch.
        """
        super().before_train(runner)
        self._check_interval(runner)
        if runner.rank == 0:
            _remove_unnamed_rows(Path(self.out_dir))
        if self._to_restore is not None:
            self._restore(runner, *self._to_restore)
            self._to_restore = None
        self._data = _data_identity(runner)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[Any] = None) -> None:
        """Seed what the model draws (dropout, ...) by (seed, epoch, rank), once the epoch's loader is up."""
        if batch_idx == 0:
            seed = int(hash64(runner.seed, runner.epoch, runner.rank))
            random.seed(seed)
            np.random.seed(seed & 0xFFFFFFFF)
            torch.manual_seed(seed)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Replace what would have to be pickled by tensors."""
        hub = checkpoint['message_hub']
        hub['log_scalars'] = {
            name: tuple(torch.from_numpy(np.array(data, np.float64)) for data in buffer.data)
            for name, buffer in hub['log_scalars'].items()
        }
        for name, value in checkpoint.items():
            checkpoint[name] = apply_to(value, lambda x: isinstance(x, np.generic), lambda x: x.item())

    def after_train(self, runner: Runner) -> None:
        """Write the backbone alone."""
        super().after_train(runner)
        if runner.rank == 0:
            path = Path(runner.work_dir, 'backbone.pth')
            state = {name: tensor.cpu() for name, tensor in unwrapped_model(runner).backbone.state_dict().items()}
            torch.save(state, path.with_suffix('.partial'))
            _publish(path.with_suffix('.partial'), path)
            runner.logger.info(f'The backbone alone is saved to {path}')

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        head = instance_head(runner)
        with way_back(runner):
            head.check_finite()
        ranks, rows = head.allocated.ranks, head.allocated.rows
        out_dir = Path(self.out_dir)
        name = self.filename_tmpl.format(step)
        partial = out_dir / 'partial'
        suffix = 0
        if runner.rank == 0:
            shutil.rmtree(partial, ignore_errors=True)
            suffix = next(i for i in range(1 << 30) if not (out_dir / _rows_name(name, i)).exists())
        rows_name = _rows_name(name, ranks.broadcast_int(suffix))
        shared = rows.settle()
        num_steps = len(runner.optim_wrapper.step_log)
        saved = save_rows(partial / rows_name, rows, num_steps, ranks, self._last_saved)
        self._last_saved = saved._replace(folder=out_dir / rows_name)

        dropped: list[int] = []
        if self.max_keep_ckpts > 0:
            kept = [old for old in self.keep_ckpt_ids if old != step] + [step]
            # the checkpoint knows of those that are to be deleted: if this process dies before, the next one does it
            runner.message_hub.update_info('keep_ckpt_ids', kept)
            dropped = kept[:-self.max_keep_ckpts]
            self.keep_ckpt_ids: deque = deque(kept[-self.max_keep_ckpts:])
        self.last_ckpt = str(out_dir / name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        meta = {**meta, 'instance_rows': {'folder': rows_name, 'num_steps': num_steps, 'segments': saved.segments,
                                          'progress': progress(runner),
                                          **self._data, **shared}}
        runner.save_checkpoint(str(partial), name, save_optimizer=self.save_optimizer,
                               save_param_scheduler=self.save_param_scheduler, meta=meta, by_epoch=self.by_epoch)
        if runner.rank == 0:
            load_tensors_only(partial / name, mmap=True)
            write_sums(saved.folder, {**read_sums(saved.folder), f'../{name}': sha256(partial / name)})
            _publish(partial / rows_name, out_dir / rows_name)
            _publish(partial / name, out_dir / name)
            partial.rmdir()
            pointer = Path(runner.work_dir, 'last_checkpoint')
            pointer.with_suffix('.partial').write_text(self.last_ckpt)
            _publish(pointer.with_suffix('.partial'), pointer)
            for old in dropped:
                (out_dir / self.filename_tmpl.format(old)).unlink(missing_ok=True)
            _remove_unnamed_rows(out_dir)
        # rank 0's files may take longer than NCCL lets the others wait; the host's group has more patience
        ranks.barrier()

    def _check_interval(self, runner: Runner) -> None:
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            if not self.by_epoch:
                raise ValueError('by_epoch of InstanceCheckpointHook must be True where training goes by epochs: '
                                 'mmengine resumes those at the start of an epoch')
            counts = runner.optim_wrapper.accumulative_counts
            iters = self.interval * len(runner.train_dataloader)
            if self.interval > 0 and iters % counts:
                raise ValueError(f'accumulative_counts must divide the {iters} iterations between checkpoints, got '
                                 f'{counts}: the gradients that were not applied yet would be lost on resume')

    def _restore(self, runner: Runner, folder: Path, saved: dict[str, Any]) -> None:
        num_instances, ranks, rows, *_ = instance_head(runner).allocated
        data = _data_identity(runner)
        if saved['num_instances'] != num_instances:
            raise ValueError(f'the checkpoint is of a data set of {saved["num_instances"]} images, got one of '
                             f'{num_instances}; resume with the data that training started with')
        if saved['fingerprint'] != data['fingerprint']:
            raise ValueError("the data set's files have other names or another order than the checkpoint's, so rows "
                             'would get the wrong images; resume with the data that training started with')
        if data['stream'] and saved['stream']:
            data['stream']['seed'] = runner.train_dataloader.sampler.seed = saved['stream']['seed']
            if data['stream'] != saved['stream']:
                runner.logger.warning(f'the order of the data changes from {saved["stream"]} to {data["stream"]}')
        self._last_saved = SavedRows(folder / saved['folder'], saved['num_steps'], saved['segments'])
        template = rows.read(torch.arange(0))
        rows.restore(load_rows(self._last_saved, rows.block, template, ranks), saved)


def _to_resume(runner: Runner) -> Optional[str]:
    """The checkpoint that the runner resumes from, as ``Runner.load_or_resume`` finds it."""
    return (runner._load_from or latest_checkpoint(runner)) if runner._resume else None


def _data_identity(runner: Runner) -> dict[str, Any]:
    """What says which image belongs to which row, and which comes when."""
    dataset, sampler = runner.train_dataloader.dataset, runner.train_dataloader.sampler
    stream = None
    if isinstance(sampler, SlidingWindowSampler):
        stream = {name: getattr(sampler, name) for name in ('seed', 'window_size', 'window_stride', 'reshuffle')}
    return {'num_instances': len(dataset), 'stream': stream,
            'fingerprint': dataset.fingerprint() if isinstance(dataset, InstanceDataset) else None}


def _rows_name(checkpoint: str, suffix: int) -> str:
    return Path(checkpoint).stem + '.rows' + (f'-{suffix}' if suffix else '')


def _remove_unnamed_rows(out_dir: Path) -> None:
    """Remove the rows that no checkpoint names: of one that was deleted, or written again, or never completed."""
    for folder in out_dir.glob('*.rows*'):
        checkpoint = out_dir / f'{folder.name.split(".rows")[0]}.pth'
        if checkpoint.exists():
            others = len(list(out_dir.glob(_rows_name(checkpoint.name, 0) + '*'))) - 1
            if not others or load_tensors_only(checkpoint, mmap=True)['meta']['instance_rows']['folder'] == folder.name:
                continue
        shutil.rmtree(folder)


def _publish(partial: Path, path: Path) -> None:
    """Give what is complete its name; it is on the disk before the name is."""
    for folder_or_file in (*partial.rglob('*'), partial, path.parent):
        descriptor = os.open(folder_or_file, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    os.replace(partial, path)
