"""Look at every image before training: what there is, what is wrong, what is there twice."""
import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:  # imported where it is needed: --help is quick
    from pic_plugin.datasets.findings import Findings
    from pic_plugin.datasets.instance_dataset import InstanceDataset
    from pic_plugin.datasets.sources import Data

FINDINGS, SIZES = 'findings.json', 'sizes.png'
_NUM_NAMED = 3  # files of a kind, and groups of identical ones, on the screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of the command line."""
    parser.add_argument('data', nargs='+', help='a folder of images, or several; or a text file that names images')
    parser.add_argument('--out', type=Path, help=f'a new folder for {FINDINGS}, which pretrain --without takes, and '
                                                 f'{SIZES}; by default nothing is written')
    parser.add_argument('--threads', type=int, help='that read and decode; by default one for each core')


def run(args: argparse.Namespace) -> None:
    """Check, and say what was found."""
    check(args.data, args.out, args.threads)


def check(data: 'Data', out: Optional[Path] = None, num_threads: Optional[int] = None) -> 'Findings':
    """Read every file once, header and pixels, as training would; print what was found.

    Args:
        data: a folder of images, or several; or a text file with the names of images, one a line.
        out: a folder to make for ``findings.json`` and ``sizes.png``; nothing is written if it is None.
        num_threads: one for each core if None.

    Raises:
        ValueError: if there are no images, ``out`` exists or cannot be written, or an argument is of another kind.
    """
    import warnings

    from pic_plugin.arguments import check_positive
    from pic_plugin.datasets.findings import find_all, write_findings
    from pic_plugin.datasets.instance_dataset import InstanceDataset
    from pic_plugin.datasets.sources import images_from
    from pic_plugin.progress import progress_bar
    from pic_plugin.visualization.sizes import plot_sizes
    from pic_plugin.whole_file import check_new, whole_file, writing_to

    check_positive(int, optional=True, num_threads=num_threads)
    if out is not None:
        out = Path(out)
        check_new(out)
        with writing_to(out.parent):  # found out before the files are read
            out.mkdir(parents=True)
    try:
        images = images_from(data)
        dataset = InstanceDataset(**images)
        with progress_bar(len(dataset), 'files') as advance, warnings.catch_warnings():
            warnings.simplefilter('ignore')  # Pillow's, of strange headers
            findings = find_all(dataset, num_threads, advance)
        if out is not None:
            write_findings(findings, dataset, out / FINDINGS)
            sides = findings.sides[findings.sides.min(1) > 0]
            if len(sides):
                with whole_file(out / SIZES) as path:
                    plot_sizes(sides, path)
    except BaseException:
        if out is not None and not (out / FINDINGS).exists():
            out.rmdir()
        raise
    print('\n'.join(_described(findings, dataset)))
    _say_what_pretrain_does(dataset, images)
    if out is not None:
        print(f'{out / FINDINGS}: all of it, with the names; pretrain --without unreadable,duplicates takes it')
    return findings


def _say_what_pretrain_does(dataset: 'InstanceDataset', images: dict) -> None:
    """With these images, or why it cannot."""
    from .plan import plan_training
    print('\npretrain would train as follows; a trial of some seconds')
    try:
        print('\n'.join(plan_training(dataset, images, Path('runs')).lines()))
    except ValueError as error:
        print(f'pretrain cannot train on these: {error}')


def _described(findings: 'Findings', dataset: 'InstanceDataset') -> list[str]:
    """What was found, in lines."""
    from pic_plugin.datasets.image_files import printable
    from pic_plugin.datasets.inspection import KINDS
    from pic_plugin.visualization.sizes import size_bars

    def name(i: int) -> str:
        return printable(dataset.get_data_info(int(i))['img_path'])

    formats = ', '.join(f'{count:,} {name}' for name, count in findings.formats.most_common())
    lines = [f'{len(dataset):,} files, {findings.num_bytes / 1e9:.3g} GB: {formats}',
             f'{findings.decoded_per_second:,.0f} a second were read and decoded, by {findings.num_threads} threads']
    if quantiles := findings.quantiles():
        lines += [f'shorter side, pixels: median {quantiles[0.5]}, 90 % of the images from {quantiles[0.05]} to '
                  f'{quantiles[0.95]}, all from {quantiles[0.0]} to {quantiles[1.0]}',
                  *size_bars(findings.shorter_sides())]
    for kind, about in KINDS.items():
        ids = findings.of_kind(kind)
        if not len(ids):
            continue
        lines.append(f'{kind}: {len(ids):,} ({about})')
        for i in ids[:_NUM_NAMED]:
            more = f' ({findings.errors[i]})' if kind == 'unreadable' else \
                f' is {name(findings.same_as[i])}' if kind == 'duplicates' else ''
            lines.append(f'    {name(i)}{more}')
        if len(ids) > _NUM_NAMED:
            lines.append('    …')
    if not (findings.flags > 0).any():
        lines.append('nothing is wrong, and nothing is there twice')
    return lines
