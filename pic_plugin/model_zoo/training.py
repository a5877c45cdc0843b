"""Reads what a work directory says of the training."""
from pathlib import Path
from typing import Any, Optional

from pic_plugin.engine.checkpoint_files import latest_checkpoint
from pic_plugin.visualization.curves import read_scalars


def find_checkpoint(source: Path, with_neck: bool) -> Path:
    """The file with a network: ``source``; of a work directory its backbone, or its last checkpoint for the neck; of
    a release's folder its ``NAME-HASH.pth``.

    Raises:
        ValueError: if there is none.
    """
    if source.is_file():
        return source
    if not source.is_dir():
        raise ValueError(f'{source} is neither a checkpoint nor a work directory: there is no such file')
    if not with_neck and (source / 'backbone.pth').is_file():
        return source / 'backbone.pth'
    if (path := latest_checkpoint(source)) is not None and path.is_file():
        return path
    if len(released := list(source.glob(f'*-{"[0-9a-f]" * 8}.pth'))) == 1:
        return released[0]
    raise ValueError(f'{source} has no {"" if with_neck else "backbone.pth and no "}last_checkpoint that leads to a '
                     'checkpoint; give the checkpoint itself')


def find_config(work_dir: Path, config: Optional[Path]) -> Path:
    """``config``, or the one that training has left in its work directory.

    Raises:
        ValueError: if there is none, or several.
    """
    if config is not None:
        if not config.is_file():
            raise ValueError(f'--config {config} is not there')
        return config
    found = sorted(work_dir.glob('*.py'))
    if len(found) != 1:
        raise ValueError(f'{work_dir} has {len(found)} configs (*.py), one was expected; name the one of the training '
                         'with --config')
    return found[0]


def training_summary(work_dir: Path) -> Optional[dict[str, Any]]:
    """The log in short: how long, from which loss to which, the last value of each metric; None without a log.

    What :class:`HealthHook` logs is of the training, and no metric of the network.
    """
    scalars = read_scalars(work_dir)
    losses = [entry for entry in scalars if 'loss' in entry]
    if not losses:
        return None
    metrics = {name: value for entry in scalars if 'loss' not in entry for name, value in entry.items()
               if name != 'step' and not name.startswith('health/')}
    seconds = sum(entry['time'] * (entry['step'] - before) for entry, before
                  in zip(losses, [0, *(entry['step'] for entry in losses)]) if 'time' in entry)
    return {'epochs': losses[-1].get('epoch'), 'iterations': losses[-1]['step'], 'hours': round(seconds / 3600, 3),
            'first_loss': losses[0]['loss'], 'last_loss': losses[-1]['loss'], 'metrics': metrics}
