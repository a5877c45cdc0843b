"""Compare a wheel and an sdist with the files of the repository: each must have all that belongs into it."""
import argparse
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
_IN_WHEEL = re.compile(r'(pic_plugin|configs|tools)/.*(?<!\.gitignore)|model-index\.yml')
_IN_SDIST = re.compile(rf'{_IN_WHEEL.pattern}|(tests|docs|requirements)/.*|[^/.]+|[^/.]+\.(md|toml|py|cff|in)')


def in_wheel(name: str) -> str:
    """Where the wheel has a file: configs and tools stand below the package, as in OpenMMLab's own wheels."""
    return name if name.startswith('pic_plugin/') else f'pic_plugin/.mim/{name}'


def check(path: Path, lacking: Sequence[str], where: str) -> None:
    """Raise a ``ValueError`` if something is lacking."""
    if lacking:
        raise ValueError(f'{path.name} lacks {", ".join(lacking[:10])}; add it in {where}')


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('dist', type=Path, help='the folder of one wheel and one sdist')
    args = parser.parse_args()
    wheels, sdists = list(args.dist.glob('*.whl')), list(args.dist.glob('*.tar.gz'))
    if len(wheels) != 1 or len(sdists) != 1:
        raise ValueError(f'one wheel and one sdist were expected in {args.dist}, got {len(wheels)} and {len(sdists)}; '
                         'make dist builds them')
    listed = subprocess.run(['git', '-C', ROOT, 'ls-files'], stdout=subprocess.PIPE, check=True, text=True)
    files = listed.stdout.splitlines()
    with zipfile.ZipFile(wheels[0]) as wheel:
        found = set(wheel.namelist())
    check(wheels[0], [name for name in files if _IN_WHEEL.fullmatch(name) and in_wheel(name) not in found], 'setup.py')
    with tarfile.open(sdists[0]) as sdist:
        found = {name.partition('/')[2] for name in sdist.getnames()}
    check(sdists[0], [name for name in files if _IN_SDIST.fullmatch(name) and name not in found], 'MANIFEST.in')
    print(f'{wheels[0]} and {sdists[0]} have all files')


if __name__ == '__main__':
    main()
