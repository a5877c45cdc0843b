"""Compute the features of every image, and write them for others to read."""
import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Optional, Union

if TYPE_CHECKING:  # imported where it is needed: --help is quick
    from pic_plugin.datasets.sources import Data
    from pic_plugin.model_zoo.network import Network

_IMAGES_PER_PART = 8192
_MOST_WORKERS = 8  # by default, for each device
_NUM_NAMED = 5  # unreadable images, on the screen


class Embedded(NamedTuple):
    """What was written."""
    path: Path
    num_images: int
    unreadable: list[str]  # paths of those that are left out, with what was wrong


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of the command line."""
    parser.add_argument('data', nargs='+', help='a folder of images, or several; or a text file that names images')
    parser.add_argument('--model', required=True, help='the work directory of a run, a released file, or a checkpoint')
    parser.add_argument('--out', type=Path, required=True,
                        help='NAME.parquet, with path, embedding and, where folders are classes, label; or NAME.npy, '
                             'with NAME.txt that has the paths')
    parser.add_argument('--config', help='of the network, where it does not lie beside it: a file, or the name of a '
                                         'network of mmpretrain, as resnet50_8xb32_in1k')
    parser.add_argument('--batch-size', type=int, default=64, help='images at once, on each device')
    parser.add_argument('--workers', type=int, help=f'processes that read images, for each device; by default one for '
                                                    f'each core, and at most {_MOST_WORKERS}')
    parser.add_argument('--devices', nargs='+', help='as cuda:0 cuda:1, or cpu; by default all GPUs, or the CPU')


def run(args: argparse.Namespace) -> None:
    """Compute, and say what was written."""
    embed(args.data, args.model, args.out, args.config, args.batch_size, args.workers, args.devices)


def embed(data: 'Data', model: Union[str, Path], out: Union[str, Path], config: Optional[str] = None,
          batch_size: int = 64, num_workers: Optional[int] = None,
          devices: Optional[Sequence[str]] = None) -> Embedded:
    """Write the features of every image: what the backbone gives, averaged over the places.

    Work that was stopped goes on with the same call.  Several devices have a process each, so a program that calls
    this with several protects its start by ``if __name__ == '__main__'``.

    Args:
        data: a folder of images, or several; or a text file with the names of images, one a line.
        model: a work directory, a release's folder, or a checkpoint.
        out: ``NAME.parquet`` or ``NAME.npy``, which must not exist.
        config: of the network: a file or the name of one of mmpretrain's; the one beside the checkpoint if None.
        batch_size: images at once on each device; the features do not depend on it, but for rounding.
        num_workers: that read images, for each device; None for one a core.
        devices: all GPUs if None, or the CPU.

    Raises:
        ValueError: if something is not there, exists already, or is of another kind.
    """
    from pic_plugin.arguments import check_kind, check_positive
    from pic_plugin.datasets.image_files import printable
    from pic_plugin.datasets.instance_dataset import InstanceDataset
    from pic_plugin.datasets.sources import images_from
    from pic_plugin.embedding.extraction import Job, extract_parts
    from pic_plugin.embedding.files import check_format, unreadable_beside, write_embeddings
    from pic_plugin.embedding.images import labels_of
    from pic_plugin.embedding.parts import parts_of
    from pic_plugin.model_zoo.network import load_network
    from pic_plugin.progress import progress_bar

    check_positive(int, batch_size=batch_size)
    check_kind(int, optional=True, workers=num_workers)
    devices, out = _devices(devices), Path(out)
    check_format(out)
    network = load_network(Path(model), config)
    images = images_from(data)
    dataset = InstanceDataset(**images, pipeline=network.pipeline)
    if num_workers is None:
        num_workers = min(_MOST_WORKERS, len(os.sched_getaffinity(0)) // len(devices))
    print(printable(f'the network of {network.weights}, on {", ".join(devices)}'))
    with parts_of(out, len(dataset), _work(network, dataset.fingerprint())) as parts:
        job = Job(Path(model), config, images, parts.folder, parts.part_size, batch_size, num_workers)
        with progress_bar(len(dataset), 'images') as advance:
            extract_parts(job, network, dataset, parts, devices, advance)
        unreadable = write_embeddings(out, parts, lambda i: dataset.get_data_info(int(i))['img_path'],
                                      labels_of(dataset))
    if unreadable:
        more = ['…'] if len(unreadable) > _NUM_NAMED else []
        print('\n    '.join([f'{len(unreadable):,} images could not be read and are left out; {unreadable_beside(out)} '
                             'names them:', *unreadable[:_NUM_NAMED], *more]))
    print(f'{out}: the features of {len(dataset) - len(unreadable):,} images')
    return Embedded(out, len(dataset) - len(unreadable), unreadable)


def _work(network: 'Network', images: str) -> dict:
    """What must be the same for work to go on."""
    from pic_plugin.engine.checksums import sha256
    cfg = network.config
    prepared = [network.pipeline, cfg.model.backbone, cfg.model.get('data_preprocessor'), cfg.get('data_preprocessor')]
    return {'images': images, 'weights': sha256(network.weights), 'config': str(prepared),
            'part_size': _IMAGES_PER_PART}


def _devices(devices: Optional[Sequence[str]]) -> list[str]:
    """The devices to use.

    Raises:
        ValueError: if one is not there.
    """
    import torch
    from mmengine.device import get_device
    num_gpus = torch.cuda.device_count()
    if devices is None:
        return [f'cuda:{i}' for i in range(num_gpus)] or [get_device()]
    for name in devices:
        try:
            device = torch.device(name)
        except RuntimeError as error:
            raise ValueError(f'--devices must be names as cpu or cuda:0, got {name}') from error
        if device.type == 'cuda' and (device.index or 0) >= num_gpus:
            raise ValueError(f'there is no {name}: torch sees {num_gpus} GPUs; leave out --devices to use what is '
                             'there, or give cpu')
    return list(devices)
