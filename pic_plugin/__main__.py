"""From a folder of images to features: ``python -m pic_plugin COMMAND``, or ``pic-plugin COMMAND``."""
import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Optional

COMMANDS = {
    'check': 'what is in a folder of images, and what is wrong with it',
    'pretrain': 'train a network on a folder of images, without labels',
    'embed': 'write the features of images',
    'report': 'make a page to look at what was learnt',
    'export': 'write the network for torchvision, timm, mmpretrain, detectron2 or onnx',
}


class _WithDefaults(argparse.ArgumentDefaultsHelpFormatter):
    """Says the default of an option that has one."""

    def _get_help_string(self, action: argparse.Action) -> Optional[str]:
        return action.help if action.default in (None, False, ()) else super()._get_help_string(action)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command that the arguments name.

    Returns:
        int: 0, or 1 where the user has to change something, which one line names.
    """
    parser = argparse.ArgumentParser(prog='python -m pic_plugin', description='Self-supervised pre-training on a '
                                     'folder of images, where every image is a class of its own.', allow_abbrev=False)
    subparsers = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    named = next((argument for argument in arguments if not argument.startswith('-')), None)
    for name, what in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=what, description=f'{what[0].upper()}{what[1:]}.', allow_abbrev=False,
            formatter_class=_WithDefaults)
        if name == named:  # what the other commands need is not imported
            module = import_module(f'pic_plugin.commands.{name}')
            module.add_arguments(subparser)
    args = parser.parse_args(arguments)
    try:
        module.run(args)
    except (ValueError, OSError, ImportError) as error:
        print(f'{args.command}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'{args.command}: stopped', file=sys.stderr)
        return 130
    return 0


if __name__ == '__main__':
    sys.exit(main())
