"""Run docs/notebook.ipynb from top to bottom, as a reader would; --write keeps what it shows."""
import argparse
import re
import tempfile
from pathlib import Path

import nbclient
import nbformat

ROOT = Path(__file__).parents[1]
PAGE = ROOT / 'docs/notebook.ipynb'
_TIMEOUT = 1200  # seconds, for a cell
# what differs from run to run, or is of no use to a reader
_NOISE = re.compile(r'^.*(Warning: |warnings\.warn|FileClient|HardDiskBackend|Exp name: |Saving checkpoint).*\n?', re.M)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--write', action='store_true', help='keep the outputs in the notebook')
    args = parser.parse_args()
    notebook = nbformat.read(PAGE, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        nbclient.NotebookClient(notebook, timeout=_TIMEOUT, record_timing=False,
                                resources={'metadata': {'path': folder}}).execute()
        for cell in notebook.cells:
            if cell.cell_type == 'code':
                cell.outputs = _cleaned(cell.outputs, folder)
    if args.write:
        nbformat.write(notebook, PAGE)
    for cell in notebook.cells:
        for output in cell.get('outputs', ()):
            print(output.get('text', ''), end='')


def _cleaned(outputs: list[nbformat.NotebookNode], folder: str) -> list[nbformat.NotebookNode]:
    """The outputs without what is of this run alone, and each text in one piece."""
    kept: list[nbformat.NotebookNode] = []
    for output in outputs:
        if output.output_type != 'stream':
            kept.append(output)
        elif output.name == 'stdout':
            if not (kept and kept[-1].output_type == 'stream'):
                kept.append(nbformat.v4.new_output('stream', text=''))
            kept[-1].text += output.text
    for output in kept:
        if output.output_type == 'stream':
            text = re.sub(r'\x1b\[[0-9;]*m', '', output.text)  # colours
            output.text = _NOISE.sub('', text.replace(f'{folder}/work_dirs/notebook/', '').replace(f'{ROOT}/', ''))
    return kept


if __name__ == '__main__':
    main()
