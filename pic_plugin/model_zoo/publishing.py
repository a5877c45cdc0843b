"""Releases a backbone: files whose names say what is in them, for those who do not have this plugin."""
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Optional

import mmengine
import mmpretrain
import torch
from mmengine.config import Config
from torch import Tensor

import pic_plugin
from pic_plugin.checkpoints.convert import save_safetensors, save_torch
from pic_plugin.checkpoints.read import load_tensors_only, network_tensors
from pic_plugin.engine.checksums import sha256

from .architecture import check_fits, released_part
from .model_card import model_card
from .training import find_checkpoint, find_config, training_summary

HASH_DIGITS = 8  # of the SHA-256, as in OpenMMLab's names; torch.hub checks them when it downloads
NECK_SUFFIX = '_with-neck'
# of this machine and this run, not of the network
_PRIVATE = ('work_dir', 'load_from', 'resume', 'launcher', 'experiment_name')


def publish(source: Path, out_dir: Path, config: Optional[Path] = None, with_neck: bool = False) -> Path:
    """Write a release into a new folder of ``out_dir``: complete, or not there.

    Args:
        source: a work directory, or a checkpoint in one or anywhere.
        out_dir: where releases are kept.
        config: of the training; by default the one beside the checkpoint, whose name becomes the release's.
        with_neck: release the neck as well, in mmpretrain's names.

    Returns:
        Path: the folder, with ``NAME-HASH.pth``, ``NAME-HASH.safetensors``, ``NAME.py``, ``README.md`` and, where there
        was a log, ``training.json``.

    Raises:
        ValueError: if the folder exists, or something is missing, damaged, of another network or not finite.
    """
    checkpoint = find_checkpoint(source, with_neck)
    work_dir = checkpoint.parent
    config = find_config(work_dir, config)
    name = config.stem + (NECK_SUFFIX if with_neck else '')
    out = out_dir / name
    if out.exists():
        raise ValueError(f'{out} exists, and is not overwritten; remove it or name another folder')
    content = load_tensors_only(checkpoint)
    state = released_part(network_tensors(content, checkpoint), with_neck)
    cfg = Config.fromfile(config)
    for key in _PRIVATE:
        cfg.pop(key, None)
    check_fits(state, cfg)
    summary = training_summary(work_dir)

    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix='.partial-') as partial:
        folder = Path(partial, name)
        folder.mkdir()
        cfg.dump(folder / f'{name}.py')
        save_torch(state, folder / f'{name}.pth')
        save_safetensors(state, folder / f'{name}.safetensors')
        sums = {}
        for path in (folder / f'{name}.pth', folder / f'{name}.safetensors'):
            _check_same(load_tensors_only(path), state)
            digest = sha256(path)
            named = path.with_stem(f'{name}-{digest[:HASH_DIGITS]}')
            os.replace(path, named)
            sums[named.name] = digest
        if summary is not None:
            (folder / 'training.json').write_text(json.dumps(summary, indent=2) + '\n')
        meta = content.get('meta', {}) if 'state_dict' in content else {}
        (folder / 'README.md').write_text(model_card(name, cfg, state, sums, summary, versions(), meta))
        os.replace(folder, out)
    return out


def versions() -> dict[str, Optional[str]]:
    """Of the packages that a release was made with; the commit is None outside a git checkout."""
    return {'torch': torch.__version__, 'mmengine': mmengine.__version__, 'mmpretrain': mmpretrain.__version__,
            'pic_plugin': pic_plugin.__version__, 'commit': git_commit(Path(pic_plugin.__file__).parents[1])}


def git_commit(root: Path) -> Optional[str]:
    """The commit that is checked out in ``root``, ``-dirty`` if files were changed since; None if git does not know."""
    command = ['git', '-C', str(root), 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*']
    try:
        # a checkout of something else, with this package in an environment within, is none of ours
        subprocess.run(['git', '-C', str(root), 'ls-files', '--error-unmatch', 'pic_plugin/__init__.py'], check=True,
                       capture_output=True)
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _check_same(written: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    assert written.keys() == state.keys() and all(torch.equal(written[name], state[name]) for name in state)
