"""Write letters and digits of fonts as grey PNG files, 28 x 28: OUT/{train,test}/<class>/<family>-<style>-<hash>.png.

All fonts of a family are in one split.  OUT/train-1000.txt, train-12000.txt and test-3000.txt name fixed parts, with
labels.  OUT/train-capitals.txt has the digits and capitals of one half of the training families,
OUT/train-lower-2000.txt and -500.txt small letters of the other half, OUT/test-lower-2000.txt those of the tests.
OUT/fonts.json says which fonts it was.
"""
import argparse
import json
import math
import os
import re
import shutil
import string
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Optional

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pic_plugin.progress import reported
from pic_plugin.whole_file import whole_file

# folders that differ on disks to which A and a are the same, too
CLASSES = {**{c: c for c in string.digits}, **{c: f'lower_{c}' for c in string.ascii_lowercase},
           **{c: f'upper_{c.lower()}' for c in string.ascii_uppercase}}
SIZE = 28  # pixels
# of each list: its split, which classes (by the beginning of their names), which half of the families, how many images
LISTS: dict[str, tuple[str, str, Optional[int], Optional[int]]] = {
    'train-1000': ('train', '', None, 1000),
    'train-12000': ('train', '', None, 12000),
    'test-3000': ('test', '', None, 3000),
    'train-capitals': ('train', 'upper_|[0-9]', 0, None),
    'train-lower-2000': ('train', 'lower_', 1, 2000),
    'train-lower-500': ('train', 'lower_', 1, 500),
    'test-lower-2000': ('test', 'lower_', None, 2000),
}

_TEST_SHARE = 5  # one of so many families is for tests
_DRAWN_SIZE = 48  # pixels per em, before a glyph is made smaller
_MARGIN = 2  # pixels, of those
_MIN_DIFFERENT = 36  # glyphs: letters without case and digits; dingbats and boxes have fewer
_NO_CHARACTER = '\U0010ffff'  # which no font has: how it draws what it lacks
_EXTENSIONS = ('.ttf', '.otf')


class Font(NamedTuple):
    """A font's file."""
    digest: str  # of its content
    path: Path
    family: str
    style: str

    @property
    def split(self) -> str:
        """Of its family, whatever other fonts there are."""
        return 'test' if int(sha256(self.family.encode()).hexdigest(), 16) % _TEST_SHARE == 0 else 'train'

    @property
    def name(self) -> str:
        """Of its files."""
        return '-'.join([*(re.sub('[^A-Za-z0-9]+', '_', part) for part in (self.family, self.style)), self.digest[:8]])


def fonts_below(folders: Sequence[Path]) -> tuple[list[Font], Counter]:
    """All fonts below the folders, in an order that does not depend on where they lie; how many were left out, and why.

    Raises:
        ValueError: if a folder is not there.
    """
    by_digest: dict[str, Font] = {}
    left_out: Counter = Counter()
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f'FONTS must be folders of fonts, and there is no folder {folder}')
        for path in sorted(path for path in folder.rglob('*') if path.suffix.lower() in _EXTENSIONS):
            try:
                digest = sha256(path.read_bytes()).hexdigest()
                family, style = ImageFont.truetype(path, _DRAWN_SIZE).getname()
            except OSError:
                left_out['that cannot be read'] += 1
                continue
            if digest in by_digest:
                left_out['that are there twice'] += 1
            else:
                by_digest[digest] = Font(digest, path, family or path.stem, style or '')
    return sorted(by_digest.values(), key=lambda font: (font.family, font.style, font.digest)), left_out


def draw(font: ImageFont.FreeTypeFont, character: str) -> np.ndarray:
    """A character, light on dark, cropped to its ink, in the middle of a square: ``[28, 28]`` uint8; black for none."""
    left, top, right, bottom = font.getbbox(character)
    drawn = Image.new('L', (math.ceil(right - left) + 2, math.ceil(bottom - top) + 2))
    ImageDraw.Draw(drawn).text((1 - left, 1 - top), character, fill=255, font=font)
    ink = drawn.crop(drawn.getbbox())
    side = max(ink.size) + 2 * _MARGIN
    square = Image.new('L', (side, side))
    square.paste(ink, ((side - ink.width) // 2, (side - ink.height) // 2))
    return np.asarray(square.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def glyphs_of(font: Font) -> dict[str, np.ndarray]:
    """The picture of each class.

    Raises:
        ValueError: why the font has none that are of use.
    """
    # without the shaping of a library that may be there or not
    loaded = ImageFont.truetype(font.path, _DRAWN_SIZE, layout_engine=ImageFont.Layout.BASIC)
    try:
        lacking = draw(loaded, _NO_CHARACTER)
        glyphs = {name: draw(loaded, character) for character, name in CLASSES.items()}
    except (OSError, OverflowError, MemoryError, Image.DecompressionBombError) as error:
        raise ValueError('that cannot be drawn') from error
    if any(not glyph.any() or np.array_equal(glyph, lacking) for glyph in glyphs.values()):
        raise ValueError('that lack letters')
    if len({glyph.tobytes() for glyph in glyphs.values()}) < _MIN_DIFFERENT:
        raise ValueError(f'of fewer than {_MIN_DIFFERENT} different glyphs')
    return glyphs


def write_splits(fonts: Sequence[Font], out: Path, left_out: Counter) -> dict[str, list[str]]:
    """Write the pictures that differ; those of training first, so that none of them is in the tests.

    Returns:
        dict: of each split the files' names, relative to the split's folder.
    """
    seen: set[bytes] = set()
    names: dict[str, list[str]] = {'train': [], 'test': []}
    for split in names:
        for name in CLASSES.values():
            (out / split / name).mkdir(parents=True)
    for font in reported(sorted(fonts, key=lambda font: font.split == 'test'), 'fonts', print):
        try:
            glyphs = glyphs_of(font)
        except ValueError as reason:
            left_out[str(reason)] += 1
            continue
        for name, glyph in glyphs.items():
            if glyph.tobytes() not in seen:
                seen.add(glyph.tobytes())
                names[font.split].append(f'{name}/{font.name}.png')
                cv2.imwrite(str(out / font.split / names[font.split][-1]), glyph)
    return names


def write_glyphs(folders: Sequence[Path], out: Path) -> None:
    """Write all, unless ``out`` has them.

    Raises:
        ValueError: if ``out`` has the glyphs of other fonts, or there are no fonts that are of use for both splits.
    """
    fonts, left_out = fonts_below(folders)
    digest = sha256(''.join(sorted(font.digest for font in fonts)).encode()).hexdigest()
    if out.exists():
        there = json.loads((out / 'fonts.json').read_text())['sha256'] if (out / 'fonts.json').exists() else None
        if there != digest:
            raise ValueError(f'{out} must not exist, or have the glyphs of these fonts, {digest[:16]}; it has those of '
                             f'{there and there[:16]}: remove it, or give another folder')
        write_lists(out)  # those that are new
        print(f'{out} is there already, of fonts {digest[:16]}')
        return
    partial = out.with_name(out.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)
    names = write_splits(fonts, partial, left_out)
    if not all(names.values()):
        raise ValueError('there must be fonts of several families, so that some are for tests, below '
                         f'{", ".join(map(str, folders))}; found {len(fonts)}; left out: {dict(left_out)}')
    write_lists(partial)
    used = {split: len({name.split('/')[1] for name in members}) for split, members in names.items()}
    summary = {'sha256': digest, 'fonts': len(fonts), 'families': len({font.family for font in fonts}),
               'images': {split: len(members) for split, members in names.items()}}
    (partial / 'fonts.json').write_text(json.dumps(summary, indent=1) + '\n')
    os.replace(partial, out)
    print(f'{len(names["train"])} training and {len(names["test"])} test images that differ, of {used["train"]} and '
          f'{used["test"]} fonts of {summary["families"]} families, to {out}; fonts {digest[:16]}')
    for reason, count in sorted(left_out.items()):
        print(f'left out: {count} fonts {reason}')


def write_lists(out: Path) -> None:
    """Write the lists that are not there: with labels, drawn by the hash of the pictures' names."""
    labels = {name: label for label, name in enumerate(sorted(CLASSES.values()))}  # as CustomDataset counts folders
    for list_name, (split, classes, half, number) in LISTS.items():
        if (path := out / f'{list_name}.txt').exists():
            continue
        names = [f'{file.parent.name}/{file.name}' for name in labels if re.match(classes, name)
                 for file in (out / split / name).iterdir() if half in (None, _half(file))]
        drawn = sorted(names, key=lambda name: sha256(name.encode()).digest())[:number]
        with whole_file(path) as partial:
            partial.write_text(''.join(f'{name} {labels[name.split("/")[0]]}\n' for name in sorted(drawn)))


def _half(picture: Path) -> int:
    """Of its family: 0 or 1."""
    return sha256(picture.name.split('-')[0].encode()).digest()[0] % 2


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('fonts', type=Path, nargs='+', help='folders with fonts, .ttf or .otf, at any depth')
    parser.add_argument('out', type=Path)
    args = parser.parse_args()
    write_glyphs(args.fonts, args.out)
