"""Write a trained backbone for another library, or for none."""
import argparse
from pathlib import Path
from typing import Optional, Union

_TARGETS = ('torchvision', 'timm', 'mmpretrain', 'detectron2', 'safetensors', 'onnx')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of the command line."""
    parser.add_argument('run', type=Path, help='the work directory of a run, a released file, or a checkpoint')
    parser.add_argument('--to', required=True, choices=_TARGETS, metavar='TARGET',
                        help=f'whose names the tensors get: {", ".join(_TARGETS)}; onnx has the whole '
                        'network, from pixels to features')
    parser.add_argument('--out', type=Path, help='the file to write; by default in the folder of the run, named after '
                                                 'the target')
    parser.add_argument('--config', help='of the network, for onnx, where it does not lie beside it: a file, or the '
                                         'name of a network of mmpretrain')


def run(args: argparse.Namespace) -> None:
    """Export, and say how to load what was written."""
    export(args.run, args.to, args.out, args.config)


def export(run: Union[str, Path], to: str, out: Union[str, Path, None] = None, config: Optional[str] = None) -> Path:
    """Write the backbone of a run; see :func:`pic_plugin.model_zoo.exporting.export_network`.

    Returns:
        Path: the file.

    Raises:
        ValueError: if something is not there, exists already, or the target does not know such a network.
    """
    from pic_plugin.model_zoo.exporting import export_network
    path, use = export_network(Path(run), to, None if out is None else Path(out), config)
    print(f'{path}, to be loaded by\n    {use}')
    return path
