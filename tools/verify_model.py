"""Check a released file against its entry in the zoo."""
import argparse
from pathlib import Path

from pic_plugin.model_zoo.verification import verify

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Check, and say what was checked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('file', type=Path, help='NAME-HASH.pth or NAME-HASH.safetensors')
    parser.add_argument('--root', type=Path, default=ROOT, help='the folder of model-index.yml')
    args = parser.parse_args()
    for line in verify(args.file, args.root):
        print(line)


if __name__ == '__main__':
    main()
