"""Draw the pictures of docs/design.md and docs/code.md, as SVG; --check only compares."""
import argparse
from collections.abc import Sequence
from html import escape
from pathlib import Path

import torch

from pic_plugin.functional.windows import stream_samples
from pic_plugin.whole_file import whole_file

ROOT = Path(__file__).parents[1]
FOLDER = Path('docs/drawings')
BLUE, ORANGE, GREEN, GREY, INK = '#1f5fa8', '#c8621b', '#2f7d4f', '#6b7280', '#1f2937'
PALE_BLUE, PALE_ORANGE, PALE_GREEN, PALE_GREY = '#dbe8f7', '#fbe3d0', '#d9efe1', '#eef0f3'
_LINE = 17  # pixels from one line of text to the next


class Drawing:
    """An SVG picture on a white sheet, so that it can be read on a dark page, too."""

    def __init__(self, width: int, height: int, title: str) -> None:
        heads = ''.join(f'<marker id="{color[1:]}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" '
                        f'markerHeight="8" orient="auto-start-reverse"><path d="M0 0 10 5 0 10z" fill="{color}"/>'
                        '</marker>' for color in (BLUE, ORANGE, GREEN, GREY, INK))
        self._lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" font-family="Helvetica, Arial, sans-serif" font-size="14" fill="{INK}" role="img">',
            f'<title>{escape(title)}</title>', f'<defs>{heads}</defs>',
            f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>']

    def box(self, x: float, y: float, width: float, height: float, text: str = '', fill: str = PALE_GREY,
            edge: str = GREY, size: int = 14, bold: bool = False) -> None:
        """A rectangle, with lines of text in its middle."""
        self._lines.append(f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" fill="{fill}" '
                           f'stroke="{edge}"/>')
        if text:
            first = y + height / 2 - _LINE * text.count('\n') / 2 + size * 0.36
            self.text(x + width / 2, first, text, size=size, anchor='middle', bold=bold)

    def text(self, x: float, y: float, text: str, color: str = INK, size: int = 14, anchor: str = 'start',
             bold: bool = False) -> None:
        """Lines of text, the first one's foot at ``y``."""
        weight = ' font-weight="bold"' if bold else ''
        for i, line in enumerate(text.split('\n')):
            self._lines.append(f'<text x="{x:g}" y="{y + _LINE * i:g}" fill="{color}" font-size="{size}" '
                               f'text-anchor="{anchor}"{weight}>{escape(line)}</text>')

    def arrow(self, *points: tuple[float, float], color: str = INK, width: float = 2, both: bool = False) -> None:
        """A line through the points, with a head at its end or at both."""
        path = ' '.join(f'{x:g},{y:g}' for x, y in points)
        start = f' marker-start="url(#{color[1:]})"' if both else ''
        self._lines.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="{width:g}"{start} '
                           f'marker-end="url(#{color[1:]})"/>')

    def svg(self) -> str:
        """The file's text."""
        return '\n'.join([*self._lines, '</svg>', ''])


def draw_window() -> Drawing:
    """The windows over the permuted data set, and the stream that they give; computed as training computes it."""
    num, window, stride, stops, seed = 20, 8, 2, 4, 3
    permuted = stream_samples(torch.arange(num), num, 1, 1, seed).tolist()  # what a window of one image would give
    stream = stream_samples(torch.arange(stops * window), num, window, stride, seed).tolist()
    marked = permuted[window - 2]
    drawing = Drawing(940, 405, 'A window slides over the permuted data set; each image is visited several times')
    cell, left, top = 30, 150, 62
    drawing.text(20, 30, f'The data set in a random order ({num} images; each number is one image)', bold=True)
    _cells(drawing, left, top - 22, cell, permuted, marked, PALE_GREY)
    for stop in range(stops):
        y = top + 26 + stop * 44
        drawing.text(20, y + 19, f'window, stop {stop + 1}', color=BLUE)
        _cells(drawing, left + stop * stride * cell, y, cell,
               permuted[stop * stride:stop * stride + window], marked, PALE_BLUE)
    y = top + 26
    drawing.arrow((left + cell * (window + 0.2) + 8, y + 13), (left + cell * (window + stride) - 4, y + 13), color=GREY)
    drawing.text(left + cell * (window + stride) + 8, y + 18, f'the next stop is a stride further: S = {stride}',
                 color=GREY)
    drawing.text(left + cell * (window + 3 * stride) + 16, y + 3 * 44 + 19, f'a window covers W = {window} images',
                 color=GREY)
    y = top + 26 + stops * 44 + 30
    drawing.text(20, y, 'The stream: what each window covers, shuffled, one window after the other', bold=True)
    small = 27
    for stop in range(stops):
        x = 20 + stop * (window * small + 10)
        _cells(drawing, x, y + 14, small, stream[stop * window:(stop + 1) * window], marked, PALE_BLUE, size=12)
        drawing.text(x, y + 60, f'stop {stop + 1}', color=BLUE, size=13)
    drawing.text(20, y + 92, f'Image {marked} is visited W / S = {window // stride} times while the window passes over '
                 'it, a few steps apart: its row is still fresh.', color=ORANGE)
    return drawing


def _cells(drawing: Drawing, x: float, y: float, cell: float, numbers: Sequence[int], marked: int, fill: str,
           size: int = 13) -> None:
    for i, number in enumerate(numbers):
        this = number == marked
        drawing.box(x + i * cell, y, cell - 3, 26, str(number), PALE_ORANGE if this else fill,
                    ORANGE if this else GREY, size, bold=this)


def draw_row() -> Drawing:
    """What a row goes through, from leaving its slot to coming back."""
    drawing = Drawing(940, 450, 'A row leaves its slot, waits in the table, and is brought up to date when it returns')
    left, right, start, end = 190, 910, 370, 670
    lanes = {'slots': 20, 'log': 170, 'table': 310}
    drawing.box(left, lanes['slots'], right - left, 74, fill='#f7f9fc', edge=PALE_BLUE)
    drawing.box(left, lanes['table'], right - left, 74, fill='#f7f9fc', edge=PALE_BLUE)
    drawing.text(20, lanes['slots'] + 22, 'Slots', BLUE, bold=True)
    drawing.text(20, lanes['slots'] + 40, 'on the device: the K\nrecent classes, a\nparameter of the model', GREY, 13)
    drawing.text(20, lanes['log'] + 16, 'Log of steps', BLUE, bold=True)
    drawing.text(20, lanes['log'] + 34, 'learning rate, momentum,\nweight decay of each', GREY, 13)
    drawing.text(20, lanes['table'] + 22, 'Table', BLUE, bold=True)
    drawing.text(20, lanes['table'] + 40, 'all N rows: in host\nmemory, or in a file\non disk', GREY, 13)

    step = 30
    for i, x in enumerate(range(left, right, step)):
        away = start <= x < end
        drawing.box(x, lanes['log'] + 4, step - 4, 26, str(131 + i), PALE_ORANGE if away else PALE_GREY,
                    ORANGE if away else GREY, 12)
    drawing.text((left + start) / 2, lanes['log'] + 52, 'the optimizer moves the row', GREEN, 13, 'middle')
    drawing.text((start + end) / 2, lanes['log'] + 52, 'the row misses the steps 137 to 146', ORANGE, 13, 'middle')
    drawing.text((end + right) / 2, lanes['log'] + 52, 'the optimizer moves it again', GREEN, 13, 'middle')

    drawing.box(left + 10, lanes['slots'] + 15, start - left - 20, 44, 'w, u in slot 7\nof the K slots', PALE_GREEN,
                GREEN, 13)
    drawing.box(start + 10, lanes['slots'] + 15, end - start - 20, 44, 'slot 7 holds another row:\nK other images '
                'were visited since', PALE_GREY, GREY, 13)
    drawing.box(end + 10, lanes['slots'] + 15, right - end - 20, 44, 'w, u in slot 2:\nas if they had never left',
                PALE_GREEN, GREEN, 13)
    drawing.box(start + 10, lanes['table'] + 15, end - start - 20, 44,
                'w, u, clock = 137 steps\nnobody touches them', PALE_ORANGE, ORANGE, 13)
    gap, slots, table = 2, lanes['slots'] + 37, lanes['table'] + 37  # the arrows pass between two steps
    drawing.arrow((start - 10, slots), (start - gap, slots), (start - gap, table), (start + 9, table), color=ORANGE)
    drawing.arrow((end - 10, table), (end - gap, table), (end - gap, slots), (end + 9, slots), color=GREEN)
    drawing.text(start - 12, lanes['log'] - 28, 'leaves', ORANGE, 13, 'end', bold=True)
    drawing.text(end + 8, lanes['log'] - 28, 'returns, with the next batch', GREEN, 13, bold=True)
    drawing.text(20, 416, 'On the way back the row catches up: (w, u) is multiplied by the product of the 2 x 2 '
                 'matrices of the steps that it missed.', bold=True)
    drawing.text(20, 435, 'That is exact for momentum and weight decay, under any schedule of the learning rate, and '
                 'costs the same however long the row was away.', GREY, 13)
    return drawing


def draw_ranks() -> Drawing:
    """Who sends what to whom in one step."""
    drawing = Drawing(940, 620, 'In a step the ranks send features, their gradients and two sums; no rank sends rows')
    columns, width = (200, 450, 700), 220
    # at which height, how high, what each rank does, how it is coloured
    done = ((42, 44, 'reads its own B images', PALE_GREY, GREY),
            (106, 44, 'backbone and neck:\nthe same on each rank', PALE_GREY, GREY),
            (254, 62, 'its own block of rows:\nS slots on the device, the others\nin its table; never sent', PALE_GREEN,
             GREEN),
            (340, 44, 'logits, M samples x S rows;\nthe sum of their exponentials', PALE_GREY, GREY),
            (482, 44, 'gradients of its rows, which stay,\nand of all M features, its part', PALE_GREY, GREY))
    sent = ((182, 'all-gather: the features, B x D of each rank\neach rank then has those of all M = R x B samples'),
            (410, "all-reduce: two sums of each sample\nthe softmax is then over all ranks' rows"),
            (558, 'reduce-scatter: the gradients of the features, M x D\nafterwards the gradients of the network are '
             'averaged, as in any data-parallel training'))
    downwards = ((86, 104, INK), (150, 180, BLUE), (228, 252, BLUE), (316, 338, INK), (384, 408, BLUE),
                 (456, 480, BLUE), (526, 556, BLUE))
    for rank, x in enumerate(columns):
        drawing.text(x + width / 2, 28, f'Rank {rank}', BLUE, 15, 'middle', bold=True)
        for y, height, what, fill, edge in done:
            drawing.box(x, y, width, height, what, fill, edge, 13)
        for start, end, color in downwards:
            drawing.arrow((x + width / 2, start), (x + width / 2, end), color=color)
    for y, what in sent:
        drawing.box(columns[0], y, columns[-1] + width - columns[0], 46, what, PALE_BLUE, BLUE, 13)
        drawing.text(20, y + 28, 'sent', BLUE, 13, bold=True)
    for y, where, color in ((68, 'data loader', GREY), (132, 'forward', GREY), (290, 'stays on its rank', GREEN),
                            (366, 'head', GREY), (508, 'backward', GREY)):
        drawing.text(20, y, where, color, 13)
    return drawing


# package -> what it does; each imports only from those that stand after it (tests/test_layout.py)
LAYERS: Sequence[Sequence[tuple[str, str]]] = (
    (('commands', 'check, pretrain, report,\nembed, export'), ('embedding', 'features of\nmany images'),
     ('evidence', "the papers' tables\nin small")),
    (('model_zoo', 'releases, model cards,\nthe list of configs'),
     ('engine', 'hooks, optimizer wrappers,\ncheckpoints of a run'),
     ('checkpoints', 'reading without running\ncode; names of tensors')),
    (('models', 'PIC, CosineInstanceHead,\ndata preprocessor'),
     ('datasets', 'InstanceDataset, sampler,\ntransforms, packs'), ('visualization', 'curves, report,\nsaliency maps')),
    (('evaluation', 'kNN, probes,\neffective rank'), ('rows', 'the table and the slots:\nwhat moves when')),
    (('sharding', 'rows over the ranks:\nthe softmax, collectives'),
     ('augmentations', 'views of a batch\nof images'), ('functional', "the papers' equations")),
)
_REACH = ('what you type', 'what drives a training', 'what a config names', 'what these use', 'torch only')


def draw_layers() -> Drawing:
    """The packages, from what a user types to the equations."""
    drawing = Drawing(940, 500, 'The packages of pic_plugin')
    drawing.text(20, 30, 'Imports point down: a package imports only from those below it, or to its right', bold=True)
    drawing.arrow((820, 50), (820, 478), color=GREY)
    drawing.text(835, 250, 'may\nimport', GREY, 13)
    for i, (layer, reach) in enumerate(zip(LAYERS, _REACH)):
        y = 48 + i * 88
        drawing.text(20, y + 40, reach, GREY, 13)
        fill, edge = (PALE_GREEN, GREEN) if i == len(LAYERS) - 1 else (PALE_BLUE, BLUE)
        width = (620 - 12 * (len(layer) - 1)) / len(layer)
        for j, (name, what) in enumerate(layer):
            x = 180 + j * (width + 12)
            drawing.box(x, y, width, 74, '', fill, edge)
            drawing.text(x + width / 2, y + 22, name, edge, 14, 'middle', bold=True)
            drawing.text(x + width / 2, y + 42, what, INK, 12, 'middle')
    return drawing


DRAWINGS = {'window': draw_window, 'row': draw_row, 'ranks': draw_ranks, 'layers': draw_layers}


def main() -> None:
    """Draw, or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--root', type=Path, default=ROOT, help='of the repository')
    parser.add_argument('--check', action='store_true', help='write nothing; fail if a picture is out of date')
    args = parser.parse_args()
    for name, draw in DRAWINGS.items():
        path = FOLDER / f'{name}.svg'
        text = draw().svg()
        if args.check:
            if not (args.root / path).is_file() or (args.root / path).read_text() != text:
                raise ValueError(f'{path} is not what tools/generate_drawings.py draws; run it')
            continue
        with whole_file(args.root / path, replace=True) as partial:
            partial.write_text(text)
        print(f'wrote {path}')


if __name__ == '__main__':
    main()
