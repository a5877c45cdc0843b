"""Checkpoints that are complete or not there, with the rows of all ranks, and that run no code when loaded."""
import os
import pickle
import random
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from mmengine.utils import apply_to
from torch import nn

from pic_plugin.checkpoints.read import find_unsafe, load_tensors_only
from pic_plugin.functional.hashing import hash64
from pic_plugin.registry import HOOKS

from ..averaged_network import averaged_network, leave_out_rows
from ..checkpoint_files import SCRATCH, clear_scratch, find_rows, latest_checkpoint, make_way, point_to, publish, retire
from ..checksums import add_sums, sha256
from ..data_identity import data_identity, resume_data
from ..resumed_schedule import progress, resume_schedule, resume_step
from ..row_checkpoint import SavedRows, load_rows, save_rows
from ..saving_check import check_complete, check_validation, check_when
from ..waiting_gradients import load_gradients, save_gradients
from .best_network import BestNetworkHook
from .common import instance_head, unwrapped_model, way_back
from .knn_hook import KNNHook


@HOOKS.register_module()
class InstanceCheckpointHook(BestNetworkHook):
    """mmengine's ``CheckpointHook``, with what instance classification needs of it.

    A checkpoint is ``epoch_N.pth`` (network, optimizer, schedulers, log) and the folder ``epoch_N.rows`` that it names,
    which has the checksums of all files, and shares with the previous checkpoint those of rows that have not changed.
    Both are written into a folder beside, the rows by all ranks, and then renamed, the file last: once it is there, all
    of it is.  Only then are older checkpoints deleted, those that were written here and still have their names.  One
    that was renamed, moved or copied with its rows is resumed from like any other, and so is a whole work directory.

    All but the rows is saved once before the first iteration, for trial.

    A checkpoint changes nothing in the run that goes on.  A resumed run goes on with the bits of the one that was not
    interrupted: a checkpoint that falls within an optimizer step has the gradients that wait, the slots of the rows
    stay as they were, what is random in an iteration is a function of (seed, iteration, rank), and the order of the
    data is the sampler's.  With another number of ranks, which also share out the gradients, it is the same but for
    rounding.

    Nothing in it is pickled code: it loads with ``weights_only=True``, and a file that does not is not resumed from.

    At the end, ``backbone.pth`` in the work directory is the backbone alone, a dict of tensors.

    ``save_best`` goes by what :class:`KNNHook` measures, ``'knn/top1_k20'``, say, and saves the network alone.

    With ``EMAHook`` the network is averaged, and not the rows: ``state_dict`` and ``backbone.pth`` have the averages.

    Args:
        args: as in :class:`mmengine.hooks.CheckpointHook`.
    """

    _to_restore: Optional[tuple[Path, dict[str, Any]]] = None  # the checkpoint, and what belongs to its rows
    _tried = False  # whether a checkpoint could be saved
    _last_saved: Optional[SavedRows] = None  # of this run: the next checkpoint writes what has changed since

    def before_run(self, runner: Runner) -> None:
        """Find the file to resume from, and refuse one that would run code.

        Raises:
            ValueError: if it is such a file, or none.
        """
        leave_out_rows(runner)
        if runner._resume and runner._load_from is None and (latest := self._latest(runner)) is not None:
            runner._load_from = str(latest)
        if (path := _to_resume(runner)) is not None:
            load_tensors_only(path, mmap=True)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Turn the log back into mmengine's objects, and keep what the rows need.

        Raises:
            ValueError: if the checkpoint is to be resumed and has no rows, or lacks another part of what that takes.
        """
        meta = checkpoint.get('meta', {})
        meta.pop('config', None)  # mmengine would execute it
        if (path := _to_resume(runner)) is None:
            return
        if 'instance_rows' not in meta:
            raise ValueError(f'{path} has no rows to resume with; to start from its weights, set '
                             'load_from without resume')
        check_complete(runner, checkpoint, path, unwrapped_model(runner).state_dict())
        resume_schedule(runner, checkpoint, meta['instance_rows'].get('progress'))
        scalars = checkpoint['message_hub']['log_scalars']
        for name, (values, counts) in scalars.items():
            scalars[name] = HistoryBuffer(values.tolist(), counts.tolist())
        # mmengine puts a checkpoint's tensors where the network is; rows are found and counted on the host
        self._to_restore = Path(path), apply_to(meta.pop('instance_rows'), torch.is_tensor, torch.Tensor.cpu)

    def before_train(self, runner: Runner) -> None:
        """Check that resuming is exact, and read the rows.

        Raises:
            ValueError: if the data set is another one than the checkpoint's, or its optimizer step cannot be gone on
                with, or checkpoints would fall into an epoch, or what is to be measured cannot be.
        """
        before = [hook for hook in runner.hooks[:runner.hooks.index(self)] if isinstance(hook, KNNHook)]
        check_validation(runner, unwrapped_model(runner), self, [name for hook in before for name in hook.names])
        check_when(runner, self)
        ranks = instance_head(runner).allocated.ranks
        info = runner.message_hub.runtime_info
        kept = info.pop('keep_ckpt_ids', [])  # mmengine would remove some of them by name, whosever they are
        super().before_train(runner)
        out_dir = Path(self.out_dir)
        here = self._to_restore is not None and self._to_restore[0].resolve().parent == out_dir.resolve()
        self._kept = list(kept) if here else []  # the numbers in the names of this folder's checkpoints, the last ones
        self._data = data_identity(runner)
        if self._to_restore is not None:
            self._restore(runner, *self._to_restore)
            self._to_restore = None
        if runner.rank == 0:
            self._remove_old(out_dir)
        ranks.barrier()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[Any] = None) -> None:
        """Seed what the model draws (dropout, ...) by (seed, iteration, rank).

        Raises:
            ValueError: before the first iteration, if a checkpoint could not be saved.
        """
        if not self._tried:
            self._try_to_save(runner)
            self._tried = True
        seed = int(hash64(runner.seed, runner.iter, runner.rank))
        random.seed(seed)
        np.random.seed(seed & 0xFFFFFFFF)
        torch.manual_seed(seed)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Replace what would have to be pickled by tensors.

        Raises:
            ValueError: if there is more of that; its key is named.
        """
        hub = checkpoint['message_hub']
        hub['log_scalars'] = {
            name: tuple(torch.from_numpy(np.array(data, np.float64)) for data in buffer.data)
            for name, buffer in hub['log_scalars'].items()
        }
        for name, value in checkpoint.items():
            checkpoint[name] = apply_to(value, lambda x: isinstance(x, np.generic), lambda x: x.item())
        if (key := find_unsafe(checkpoint)) is not None:
            raise ValueError(f'{key} cannot be saved: a checkpoint is tensors, numbers, strings, lists and dicts, and '
                             'loads without running code; make it one of these, or, in the message hub, leave it out '
                             'by update_info(..., resumed=False)')

    def after_train(self, runner: Runner) -> None:
        """Write the backbone alone."""
        super().after_train(runner)
        if runner.rank == 0:
            path = Path(runner.work_dir, 'backbone.pth')
            with averaged_network(runner):
                state = {name: tensor.to('cpu', copy=True)
                         for name, tensor in unwrapped_model(runner).backbone.state_dict().items()}
            torch.save(state, path.with_suffix('.partial'))
            publish(path.with_suffix('.partial'), path)
            runner.logger.info(f'The backbone alone is saved to {path}')

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        head = instance_head(runner)
        with way_back(runner):
            head.check_finite()
        ranks, rows = head.allocated.ranks, head.allocated.rows
        out_dir = Path(self.out_dir)
        name = self.filename_tmpl.format(step)
        partial = out_dir / SCRATCH
        suffix = 0
        if runner.rank == 0:
            clear_scratch(out_dir)
            suffix = next(i for i in range(1 << 30) if not os.path.lexists(out_dir / _rows_name(name, i)))
        rows_name = _rows_name(name, ranks.broadcast_int(suffix))
        with way_back(runner):
            shared = rows.settle()
        num_steps = len(runner.optim_wrapper.step_log)
        saved = save_rows(partial / rows_name, rows, num_steps, ranks, self._last_saved)
        self._last_saved = saved._replace(folder=out_dir / rows_name)
        at = progress(runner, meta['epoch'])
        if at['step'][0]:
            save_gradients(saved.folder, rows, _network(runner), ranks)

        if self.max_keep_ckpts > 0:
            self._kept = [old for old in self._kept if old != step] + [step]
            # the checkpoint knows of those that are to be deleted: if this process dies before, the next one does it
            runner.message_hub.update_info('keep_ckpt_ids', list(self._kept))
        self.last_ckpt = str(out_dir / name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        meta = {**meta, 'instance_rows': {'folder': rows_name, 'num_steps': num_steps, 'segments': saved.segments,
                                          'num_ranks': ranks.size, 'progress': at, **self._data, **shared}}
        self._write(runner, name, meta)
        if runner.rank == 0:
            add_sums(saved.folder, {f'../{name}': sha256(partial / name)})
            if (kept := make_way(out_dir / name)) is not None:
                runner.logger.warning(f'{out_dir / name} was there and is not of this training: it is now {kept}')
            publish(partial / rows_name, out_dir / rows_name)
            publish(partial / name, out_dir / name)
            point_to(Path(runner.work_dir), out_dir / name)
            self._remove_old(out_dir)
        # rank 0's files may take longer than NCCL lets the others wait; the host's group has more patience
        ranks.barrier()

    def _write(self, runner: Runner, name: str, meta: dict) -> None:
        """Write all but the rows into the folder beside, and read it."""
        partial = Path(self.out_dir, SCRATCH)
        runner.save_checkpoint(str(partial), name, save_optimizer=self.save_optimizer,
                               save_param_scheduler=self.save_param_scheduler, meta=meta, by_epoch=self.by_epoch)
        if runner.rank == 0:
            load_tensors_only(partial / name, mmap=True)

    def _try_to_save(self, runner: Runner) -> None:
        """Find out now, and on all ranks, what would stop the first checkpoint."""
        ranks, fault = instance_head(runner).allocated.ranks, None
        if runner.rank == 0:
            try:
                Path(self.out_dir, SCRATCH).mkdir(parents=True, exist_ok=True)
                self._write(runner, self.filename_tmpl.format(0), {'instance_rows': dict(self._data)})
                clear_scratch(Path(self.out_dir))
            except (ValueError, OSError, RuntimeError, TypeError, AttributeError, pickle.PicklingError) as error:
                fault = f'no checkpoint could be saved: {error}'
        if (fault := ranks.all_gather_object(fault)[0]) is not None:
            raise ValueError(fault)

    def _remove_old(self, out_dir: Path) -> None:
        """Remove the checkpoints beyond ``max_keep_ckpts``, and what has been replaced."""
        if self.max_keep_ckpts > 0:
            for old in self._kept[:-self.max_keep_ckpts]:
                retire(out_dir / self.filename_tmpl.format(old))
            self._kept = self._kept[-self.max_keep_ckpts:]
        clear_scratch(out_dir)

    def _latest(self, runner: Runner) -> Optional[Path]:
        """What ``last_checkpoint`` leads to: a path, which is another one if the work directory was moved or copied."""
        work_dir = Path(runner.work_dir)
        out_dir = work_dir if self.out_dir is None else Path(self.out_dir, work_dir.name)
        if (latest := latest_checkpoint(work_dir, out_dir)) is None:
            return None
        if not (own := out_dir / latest.name).is_file():
            raise ValueError(f'{work_dir}/last_checkpoint names {latest.name}, and {out_dir} has no such file; name '
                             'the checkpoint to go on from: --resume PATH, or load_from=PATH with resume=True')
        if runner.rank == 0:
            point_to(work_dir, own)
        return own

    def _restore(self, runner: Runner, checkpoint: Path, saved: dict[str, Any]) -> None:
        _, ranks, rows, *_ = instance_head(runner).allocated
        resume_data(runner, self._data, saved)
        gradients_wait = resume_step(runner, saved['progress'])
        digest = ranks.all_gather_object(sha256(checkpoint) if ranks.rank == 0 else '')[0]
        folder = find_rows(checkpoint, saved['folder'], digest)
        self._last_saved = SavedRows(folder, saved['num_steps'], saved['segments'])
        template = rows.read(torch.arange(0))
        rows.restore(load_rows(self._last_saved, rows.block, template, ranks, digest), saved)
        if gradients_wait:
            load_gradients(folder, rows, _network(runner), ranks, saved['num_ranks'])


def _network(runner: Runner) -> dict[str, nn.Parameter]:
    """All that is trained but the rows."""
    rows = instance_head(runner).weight
    return {name: parameter for name, parameter in unwrapped_model(runner).named_parameters()
            if parameter.requires_grad and parameter is not rows}


def _to_resume(runner: Runner) -> Optional[str]:
    """The checkpoint that the runner resumes from."""
    return runner._load_from if runner._resume else None


def _rows_name(checkpoint: str, suffix: int) -> str:
    return Path(checkpoint).stem + '.rows' + (f'-{suffix}' if suffix else '')

