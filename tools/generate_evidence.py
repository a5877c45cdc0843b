"""Keep the results of tools/evidence.py in docs/evidence, and write docs/evidence.md and README's claims from them."""
import argparse
import json
from pathlib import Path

from pic_plugin.evidence.page import PAGE, README, keep, kept, pages, write_pages
from pic_plugin.evidence.runs import Run
from pic_plugin.evidence.tables import read_evidence

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Keep, and write, or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('made', type=Path, nargs='?', help='folder of results to keep, as work_dirs/evidence')
    parser.add_argument('--check', action='store_true', help='write nothing; fail if the page is out of date')
    args = parser.parse_args()
    configs = ROOT / 'configs/glyphs'
    evidence = read_evidence(configs)
    if args.check:
        for path, text in pages(evidence, ROOT, kept(ROOT)).items():
            if path.read_text() != text:
                raise ValueError(f'{path} is not what docs/evidence has; run tools/generate_evidence.py')
        return
    if args.made:
        fonts = json.loads((ROOT / 'data/glyphs/fonts.json').read_text())['sha256']
        runs = [Run(configs / f'{config}.py', seed, fonts) for config, seed in evidence.runs(small=False)]
        print(f'kept {keep(runs, args.made, ROOT)} of {len(runs)} results')
    write_pages(evidence, ROOT)
    print(f'wrote {PAGE} and {README}')


if __name__ == '__main__':
    main()
