"""Train a network on folders of images, with settings chosen from them."""
import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

from .settings import BACKBONES

if TYPE_CHECKING:  # imported where it is needed: --help is quick
    from pic_plugin.datasets.sources import Data

_FINDINGS, _NAMES = 'findings.json', 'images.txt'


class Run(NamedTuple):
    """A training, in its folder."""
    out: Path

    @property
    def config(self) -> Path:
        """All its settings."""
        return self.out / 'config.py'

    @property
    def backbone(self) -> Path:
        """The trained network without heads, a dict of tensors; there once training has ended."""
        return self.out / 'backbone.pth'


def pretrain(data: 'Data',
             out: Union[str, Path],
             *,
             visits: Optional[int] = None,
             hours: Optional[float] = None,
             backbone: Optional[str] = None,
             size: Optional[int] = None,
             batch_size: Optional[int] = None,
             without: Sequence[str] = (),
             findings: Union[str, Path, None] = None,
             seed: int = 0,
             resume: bool = False,
             cpu: bool = False,
             cfg_options: Optional[Mapping[str, Any]] = None) -> Run:
    """Train on all images below ``data``; the settings are written to ``config.py`` in ``out``, and trained from there.

    Args:
        data: a folder of images, or several; or a text file with the names of images, one a line.
        out: a new folder for config, log, checkpoints and, at the end, ``backbone.pth``.
        visits: how often each image is trained on; 200, or on a CPU as often as an hour allows.
        hours: that training may take, in place of ``visits``.
        backbone: one of ``settings.BACKBONES``.
        size: of the views, in pixels.
        batch_size: over all GPUs.
        without: kinds of images to leave out, as :func:`check` names them; of identical files the first one stays.
        findings: what ``check`` wrote about the images; they are checked now if it is None.
        seed: of everything random.
        resume: go on with the training that is in ``out``, by the config there.
        cpu: train on the CPU, whether there are GPUs or not.
        cfg_options: what is to be different in the config, by dotted keys.

    Raises:
        ValueError: if ``out`` holds something and ``resume`` is not set, or nothing and it is; if settings are given to
            a training that is resumed; or from :func:`.choose_settings` and :class:`InstanceDataset`.
        ChildProcessError: if the training failed; what it printed says why.
    """
    run = Run(Path(out))
    given = dict(visits=visits, hours=hours, backbone=backbone, size=size, batch_size=batch_size,
                 cfg_options=cfg_options or None)
    if findings is not None and not without:
        raise ValueError('findings are of use with kinds of images to leave out: give --without, too')
    if resume:
        if not run.config.is_file():
            raise ValueError(f'there is nothing to resume in {run.out}: it has no config.py; leave out --resume')
        if extra := [name for name, value in (*given.items(), ('without', without or None)) if value is not None]:
            raise ValueError(f'a training is resumed with its own settings, and {", ".join(extra)} cannot be given; '
                             f'to change them, edit {run.config}')
    else:
        if run.out.exists() and (not run.out.is_dir() or any(run.out.iterdir())):
            raise ValueError(f'{run.out} is there already and is not overwritten: add --resume to go on with the '
                             'training in it, or choose another --out')
        _write_config(run, data, without, findings, cpu, seed, given)
    _train(run, cpu)
    return run


def _write_config(run: Run, data: 'Data', without: Sequence[str], findings: Union[str, Path, None], cpu: bool,
                  seed: int, given: dict[str, Any]) -> None:
    from pic_plugin.datasets.sources import images_from
    from pic_plugin.whole_file import whole_file, writing_to

    from .plan import plan_training
    images = {key: [os.path.abspath(root) for root in value] if isinstance(value, list) else
              os.path.abspath(value) if key == 'data_root' and os.path.exists(value) else value
              for key, value in images_from(data).items()}
    made = not run.out.exists()
    with writing_to(run.out.parent):
        run.out.mkdir(parents=True, exist_ok=True)
    try:
        if without:
            images = _images_without(data, without, findings, run.out)
        plan = plan_training(images, run.out, cpu, seed, **given)
        print('\n'.join(plan.lines()), flush=True)
        again = shlex.join(['python', '-m', 'pic_plugin', 'pretrain', *map(str, _listed(data)), '--out', str(run.out),
                            '--resume'])
        with whole_file(run.config) as partial:
            partial.write_text(plan.text(f'Pre-training on {plan.look.images.number} images, written by pic_plugin.  '
                                         f'A complete config: edit it, and go on with\n{again}'))
    except BaseException:
        for path in (run.out / _FINDINGS, run.out / _NAMES):
            path.unlink(missing_ok=True)
        if made:
            run.out.rmdir()
        raise


def _images_without(data: 'Data', without: Sequence[str], findings: Union[str, Path, None],
                    out: Path) -> dict[str, Any]:
    """List in ``out`` the images that are not of these kinds."""
    from pic_plugin.datasets.findings import find_all, images_without, write_findings
    from pic_plugin.datasets.instance_dataset import InstanceDataset
    from pic_plugin.datasets.sources import images_from
    from pic_plugin.progress import progress_bar
    if findings is None:
        dataset = InstanceDataset(**images_from(data))
        with progress_bar(len(dataset), 'files are checked') as advance:
            found = find_all(dataset, None, advance)
        findings = out / _FINDINGS
        write_findings(found, dataset, findings)
    return images_without(data, Path(findings), without, out / _NAMES)


def _listed(data: 'Data') -> Sequence[Union[str, os.PathLike]]:
    return [data] if isinstance(data, (str, os.PathLike)) else data


def _train(run: Run, cpu: bool) -> None:
    """Train as ``tools/train.py`` does, with one process per GPU."""
    import torch

    from .resources import resource
    num_gpus = 0 if cpu else torch.cuda.device_count()
    command = [sys.executable]
    if num_gpus > 1:
        command += ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={num_gpus}']
    command += [str(resource('tools/train.py')), str(run.config), '--work-dir', str(run.out), '--resume']
    if num_gpus > 1:
        command += ['--launcher', 'pytorch']
    if cpu:
        command += ['--cpu']
    print(shlex.join(['python', *command[1:]]), flush=True)
    code = subprocess.run(command, check=False).returncode
    if code:
        raise ChildProcessError(f'training stopped with exit code {code}; the same command with --resume goes on from '
                                f'the last checkpoint in {run.out}')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of the command."""
    from .options import ConfigOptions  # imports mmengine
    parser.add_argument('data', nargs='+', help='a folder of images, or several; or a text file that names images')
    parser.add_argument('--out', required=True, help='a new folder for config, log, checkpoints and backbone.pth')
    length = parser.add_mutually_exclusive_group()
    length.add_argument('--visits', type=int, help='how often each image is trained on; by default 200, or on a CPU as '
                        'often as an hour allows')
    length.add_argument('--hours', type=float, help='that training may take')
    parser.add_argument('--backbone', choices=BACKBONES, help='by default one that suits images and machine')
    parser.add_argument('--size', type=int, help='of the views, in pixels; by default as the images are, up to 224, or '
                        '96 on a CPU')
    parser.add_argument('--batch-size', type=int, help='over all GPUs')
    parser.add_argument('--without', type=lambda kinds: kinds.split(','), default=[], metavar='KINDS',
                        help='leave out images that are of these kinds, by check: unreadable,duplicates')
    parser.add_argument('--findings', help='what check wrote; by default the images are checked now')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--resume', action='store_true', help='go on with the training in OUT')
    parser.add_argument('--cpu', action='store_true', help='train on the CPU, whether there are GPUs or not')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE',
                        help='what is to be different in the config')


def run(args: argparse.Namespace) -> None:
    """Train."""
    done = pretrain(args.data, args.out, visits=args.visits, hours=args.hours, backbone=args.backbone, size=args.size,
                    batch_size=args.batch_size, without=args.without, findings=args.findings, seed=args.seed,
                    resume=args.resume, cpu=args.cpu, cfg_options=args.cfg_options)
    print(f'{done.backbone}: the trained network\n'
          f'python -m pic_plugin report {shlex.quote(str(done.out))}    # a page to look at\n'
          f'python -m pic_plugin embed {shlex.join(args.data)} --model {shlex.quote(str(done.out))} '
          '--out embeddings.parquet')
