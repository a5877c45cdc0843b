"""Train a network on folders of images, with settings chosen from them."""
import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

from .settings import BACKBONES

if TYPE_CHECKING:  # imported where it is needed: --help is quick
    from pic_plugin.datasets.instance_dataset import InstanceDataset
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
             start: Optional[str] = None,
             size: Optional[int] = None,
             batch_size: Optional[int] = None,
             without: Sequence[str] = (),
             findings: Union[str, Path, None] = None,
             seed: Optional[int] = None,
             tensorboard: bool = False,
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
        start: the backbone to go on from, in place of ``backbone``, as :func:`.find_start` takes it.
        size: of the views, in pixels.
        batch_size: over all GPUs.
        without: kinds of images to leave out, as :func:`check` names them; of identical files the first one stays.
        findings: what ``check`` wrote about the images; they are checked now if it is None.
        seed: of everything random; 0 if None.
        tensorboard: write the log for TensorBoard, too, which ``tensorboard --logdir`` of ``out`` shows.
        resume: go on with the training that is in ``out``, by the config there.  What else is given must be what the
            training was started with, but for ``cpu``; only images and ``out`` need to be given again.
        cpu: train on the CPU, whether there are GPUs or not.
        cfg_options: what is to be different in the config, by dotted keys.

    Raises:
        ValueError: if ``out`` holds something and ``resume`` is not set, or no training and it is; if a training that
            is resumed was started with something else; if TensorBoard is asked for and missing; or from
            :func:`.plan_training`, :func:`.find_start` and :class:`InstanceDataset`.
        ChildProcessError: if the training failed; what it printed says why.
    """
    run = Run(Path(out))
    given = {name: value for name, value in dict(
        data=[_absolute(os.fspath(name)) for name in _listed(data)], visits=visits, hours=hours, backbone=backbone,
        start=start and _absolute(start), size=size, batch_size=batch_size, without=list(without) or None,
        findings=None if findings is None else os.path.abspath(findings), seed=seed, tensorboard=tensorboard or None,
        cfg_options=dict(cfg_options or {}) or None).items() if value is not None}
    if findings is not None and not without:
        raise ValueError('findings are of use with kinds of images to leave out: give --without, too')
    there = run.out.is_dir() and any(run.out.iterdir())
    if resume:
        if not run.config.is_file():
            raise ValueError(f'there is nothing to resume in {run.out}: it has no config.py; '
                             f'{"choose another --out, and " if there else ""}leave out --resume')
        _check_as_started(run, given)
    elif there or (run.out.exists() and not run.out.is_dir()):
        advice = 'add --resume to go on with the training in it, or' if run.config.is_file() else \
            'it holds no training to go on with;'
        raise ValueError(f'{run.out} is there already and is not overwritten: {advice} choose another --out')
    if tensorboard and find_spec('tensorboard') is None:
        raise ValueError("--tensorboard needs the package tensorboard: pip install 'pic_plugin[tensorboard]' or pip "
                         'install tensorboard')
    if not resume:
        _write_config(run, given, cpu)
    _train(run, cpu)
    return run


def _check_as_started(run: Run, given: Mapping[str, Any]) -> None:
    """Raise a ``ValueError`` if something is given that a training was not started with."""
    from mmengine.config import Config

    from .resources import resource
    edited = shlex.join(['python', str(resource('tools/train.py')), str(run.config), '--work-dir', str(run.out),
                         '--resume'])
    try:
        started = Config.fromfile(str(run.config)).get('started_with')
    except Exception as error:  # somebody has edited a program
        raise ValueError(f'{run.config} cannot be read ({type(error).__name__}: {error}); mend it') from error
    if started is None:
        raise ValueError(f'{run.config} does not say what the training was started with, as pretrain writes it; to go '
                         f'on with it\n{edited}')
    if differing := [name for name, value in given.items() if value != started.get(name)]:
        before, now = (' and '.join(_said(name, settings.get(name)) for name in differing)
                       for settings in (started, given))
        raise ValueError(f'the training in {run.out} was started with {before}, and now {now} is given: give what it '
                         'was started with, or choose another --out for a training of its own; to change this one, '
                         f'edit {run.config} and go on with\n{edited}')


def _said(name: str, value: Any) -> str:
    """A setting, as a user types it."""
    if name == 'data':
        return f'the images of {shlex.join(value)}'
    option = '--from' if name == 'start' else f'--{name.replace("_", "-")}'
    if value is None or value is True:
        return option if value else f'no {option}'
    if isinstance(value, dict):
        value = ' '.join(f'{key}={setting}' for key, setting in value.items())
    return f'{option} {",".join(value) if isinstance(value, list) else value}'


def _absolute(name: str) -> str:
    """Of what is there; addresses of other stores of files stay."""
    return os.path.abspath(name) if os.path.exists(name) else name


def _write_config(run: Run, given: Mapping[str, Any], cpu: bool) -> None:
    from mmengine.logging import MMLogger

    from pic_plugin.checkpoints.convert import save_torch
    from pic_plugin.datasets.image_files import printable
    from pic_plugin.datasets.instance_dataset import InstanceDataset
    from pic_plugin.datasets.sources import images_from
    from pic_plugin.model_zoo.start import find_start
    from pic_plugin.whole_file import whole_file, writing_to

    from .plan import START, plan_training
    settings = dict(given)
    data = settings.pop('data')
    without, findings = settings.pop('without', None), settings.pop('findings', None)
    images = images_from(data)
    MMLogger.get_instance('pretrain', log_level='WARNING')  # the training says how many images there are
    dataset = InstanceDataset(**images)
    made = not run.out.exists()
    with writing_to(run.out.parent):
        run.out.mkdir(parents=True, exist_ok=True)
    try:
        if without:
            images = _images_without(dataset, without, findings, run.out)
            dataset = InstanceDataset(**images)
        if (source := settings.pop('start', None)) is not None:
            settings['start'] = start = find_start(source)
            with whole_file(run.out / START) as partial:
                save_torch(start.state, partial)
        plan = plan_training(dataset, images, run.out, cpu, **settings)
        plan.config.started_with = {'seed': 0, **given}
        print('\n'.join(plan.lines()), flush=True)
        again = printable(shlex.join(['python', '-m', 'pic_plugin', 'pretrain', *data, '--out', str(run.out),
                                      '--resume']))
        with whole_file(run.config) as partial:
            partial.write_text(plan.text(f'Pre-training on {plan.look.images.number} images, written by pic_plugin.  '
                                         f'A complete config: edit it, and go on with\n{again}'))
    except BaseException:
        for path in (run.out / name for name in (_FINDINGS, _NAMES, START)):
            path.unlink(missing_ok=True)
        if made:
            run.out.rmdir()
        raise


def _images_without(dataset: 'InstanceDataset', without: Sequence[str], findings: Optional[str],
                    out: Path) -> dict[str, Any]:
    """List in ``out`` the images that are not of these kinds."""
    from pic_plugin.datasets.findings import find_all, images_without, write_findings
    from pic_plugin.progress import progress_bar
    if findings is None:
        with progress_bar(len(dataset), 'files are checked') as advance:
            found = find_all(dataset, None, advance)
        write_findings(found, dataset, out / _FINDINGS)
    return images_without(dataset, Path(findings or out / _FINDINGS), without, out / _NAMES)


def _listed(data: 'Data') -> Sequence[Union[str, os.PathLike]]:
    return [data] if isinstance(data, (str, os.PathLike)) else data


def _train(run: Run, cpu: bool) -> None:
    """Train as ``tools/train.py`` does, with one process per GPU."""
    import torch

    from pic_plugin.datasets.image_files import printable

    from .resources import resource
    num_gpus = 0 if cpu else torch.cuda.device_count()
    command = [sys.executable]
    if num_gpus > 1:
        command += ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={num_gpus}']
    command += [str(resource('tools/train.py')), str(run.config), '--work-dir', str(run.out)]
    if (run.out / 'last_checkpoint').is_file():  # else it starts, from what load_from says
        command += ['--resume']
    if num_gpus > 1:
        command += ['--launcher', 'pytorch']
    if cpu:
        command += ['--cpu']
    print(printable(shlex.join(['python', *command[1:]])), flush=True)
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
    parser.add_argument('--backbone', choices=BACKBONES, metavar='NAME', help=f'{", ".join(BACKBONES)}; by default one '
                        'that suits images and machine')
    parser.add_argument('--from', dest='start', metavar='FILE|NAME', help='go on from a backbone: a run, a file of '
                        'weights, a name of mmpretrain or timm, or NAME=FILE')
    parser.add_argument('--size', type=int, help='of the views, in pixels; by default as the images are, up to 224, or '
                        '96 on a CPU')
    parser.add_argument('--batch-size', type=int, help='over all GPUs')
    parser.add_argument('--without', type=lambda kinds: kinds.split(','), default=(), metavar='KINDS',
                        help='leave out images that are of these kinds, by check: unreadable,duplicates')
    parser.add_argument('--findings', help='what check wrote; by default the images are checked now')
    parser.add_argument('--seed', type=int, help='of everything random; by default 0')
    parser.add_argument('--tensorboard', action='store_true', help='log for TensorBoard, too: tensorboard --logdir OUT '
                        'shows it')
    parser.add_argument('--resume', action='store_true', help='go on with the training in OUT, with the settings that '
                        'it was started with; they need not be given again')
    parser.add_argument('--cpu', action='store_true', help='train on the CPU, whether there are GPUs or not')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE',
                        help="what is to be different in the config; to log for W&B or MLflow, say, "
                        "\"visualizer.vis_backends=[{'type': 'LocalVisBackend'}, {'type': 'WandbVisBackend'}]\"")


def run(args: argparse.Namespace) -> None:
    """Train."""
    done = pretrain(args.data, args.out, visits=args.visits, hours=args.hours, backbone=args.backbone,
                    start=args.start, size=args.size, batch_size=args.batch_size, without=args.without,
                    findings=args.findings, seed=args.seed, tensorboard=args.tensorboard, resume=args.resume,
                    cpu=args.cpu, cfg_options=args.cfg_options)
    print(f'{done.backbone}: the trained network\n'
          f'python -m pic_plugin report {shlex.quote(str(done.out))}    # a page to look at\n'
          f'python -m pic_plugin embed {shlex.join(args.data)} --model {shlex.quote(str(done.out))} '
          '--out embeddings.parquet')
