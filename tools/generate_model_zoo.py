"""Write the tables of README.md and docs/{model_zoo,tables}.md from the configs' metafiles; --check only compares."""
import argparse
import os
from pathlib import Path

from pic_plugin.model_zoo.entries import read_zoo
from pic_plugin.model_zoo.tables import TABLES_PAGE, ZOO_PAGE, readme_table, replace_between, tables_page, zoo_page

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Write, or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--root', type=Path, default=ROOT, help='the folder of model-index.yml')
    parser.add_argument('--check', action='store_true', help='write nothing; fail if something is out of date')
    args = parser.parse_args()
    zoo = read_zoo(args.root)
    for name, content in (('README.md', readme_table(zoo)), (ZOO_PAGE, zoo_page(zoo)), (TABLES_PAGE, tables_page(zoo))):
        path = args.root / name
        text = path.read_text()
        if (new := replace_between(text, 'model zoo', content)) == text:
            continue
        if args.check:
            raise ValueError(f'{name} is not what the metafiles say; run tools/generate_model_zoo.py')
        partial = path.with_name(path.name + '.partial')
        partial.write_text(new)
        os.replace(partial, path)
        print(f'wrote {name}')


if __name__ == '__main__':
    main()
