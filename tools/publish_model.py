"""Release a trained backbone: .pth and .safetensors with their SHA-256 in the name, config, log summary, model card.

Prints what to add to the entry of the zoo (metafile.yml), against which tools/verify_model.py checks a file.
"""
import argparse
from pathlib import Path

from pic_plugin.engine.checksums import sha256
from pic_plugin.model_zoo.publishing import publish


def main() -> None:
    """Release, and say what was written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, help='a work directory, or a checkpoint: epoch_N.pth, backbone.pth, or a '
                                                  'converted one')
    parser.add_argument('out_dir', type=Path, help='a folder is made in it, named after the config')
    parser.add_argument('--config', type=Path, help='of the training; by default the one beside the checkpoint')
    parser.add_argument('--with-neck', action='store_true', help='backbone.… and neck.…, not the backbone alone')
    args = parser.parse_args()
    folder = publish(args.source, args.out_dir, args.config, args.with_neck)
    print(f'wrote {folder}:')
    for path in sorted(folder.iterdir()):
        print(f'  {path.name}, {path.stat().st_size:,} bytes')
    print('for its entry in the zoo:\n    Files:')
    for path in sorted(folder.glob(f'{folder.name}-*')):
        print(f'      {path.name}: {sha256(path)}')


if __name__ == '__main__':
    main()
