"""Letters of fonts as a data set, from the fonts that matplotlib has."""
import json
import re
import shutil
from collections import defaultdict
from pathlib import Path
from unittest import mock

import cv2
import matplotlib
import numpy as np
import pytest
from mmpretrain.datasets import CustomDataset
from PIL import Image, ImageFont

from pic_plugin.datasets import InstanceDataset
from tests.tools.scripts import run_tool

FONTS = Path(matplotlib.get_data_path()) / 'fonts/ttf'
TOOL = 'dataset_converters/write_glyphs.py'


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


@pytest.fixture(scope='module')
def glyphs(tmp_path_factory):
    out = tmp_path_factory.mktemp('glyphs') / 'out'
    run_tool(TOOL, FONTS, out)
    return out


def test_classes_and_families(glyphs):
    for split in ('train', 'test'):
        classes = [path.name for path in (glyphs / split).iterdir()]
        assert len(classes) == len({name.lower() for name in classes}) == 62
    families = {split: {path.name.split('-')[0] for path in (glyphs / split).rglob('*.png')}
                for split in ('train', 'test')}
    assert len(families['train']) > 1 and families['test'] and not families['train'] & families['test']
    pictures = [path.read_bytes() for path in glyphs.rglob('*.png')]
    assert len(set(pictures)) == len(pictures)
    summary = json.loads((glyphs / 'fonts.json').read_text())
    assert summary['images'] == {split: len(list((glyphs / split).rglob('*.png'))) for split in families}
    assert sum(summary['images'].values()) == len(pictures)


@pytest.mark.parametrize('name, character', [('upper_a', 'A'), ('lower_a', 'a'), ('7', '7'), ('lower_i', 'i')])
def test_each_picture_is_its_letter(glyphs, name, character):
    """As Pillow's mask of the letter, cropped and padded by hand."""
    path = next((glyphs / split / name).glob('DejaVu_Sans-Book-*.png') for split in ('train', 'test')
                if list((glyphs / split / name).glob('DejaVu_Sans-Book-*.png')))
    mask = ImageFont.truetype(FONTS / 'DejaVuSans.ttf', 48, layout_engine=ImageFont.Layout.BASIC).getmask(character)
    ink = np.array(mask, np.uint8).reshape(mask.size[::-1])
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    ink = ink[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
    side = max(ink.shape) + 4
    square = np.zeros((side, side), np.uint8)
    top, left = (side - ink.shape[0]) // 2, (side - ink.shape[1]) // 2
    square[top:top + ink.shape[0], left:left + ink.shape[1]] = ink
    expected = np.asarray(Image.fromarray(square).resize((28, 28), Image.Resampling.BICUBIC)).astype(int)
    written = cv2.imread(str(next(path)), cv2.IMREAD_GRAYSCALE)
    assert written.shape == (28, 28)
    assert np.array_equal(written, expected)


def test_lists_name_images_with_the_folders_labels(glyphs):
    for split, number in (('train', 12000), ('test', 3000)):
        arguments = dict(data_root=str(glyphs), data_prefix=split, pipeline=[])
        whole = {info['img_path']: info['gt_label'] for info in CustomDataset(**arguments)}
        named = CustomDataset(**arguments, ann_file=f'{split}-{number}.txt')
        assert {info['img_path']: info['gt_label'] for info in named} == whole  # fewer fonts than that have
        assert len(InstanceDataset(**arguments, ann_file=f'{split}-{number}.txt', with_label=True)) == len(whole)


def test_lists_of_letters_and_families(glyphs):
    lists = {path.stem: [line.rsplit(' ', 1)[0] for line in path.read_text().splitlines()]
             for path in glyphs.glob('*-*.txt')}
    capitals, lower, test = (lists[name] for name in ('train-capitals', 'train-lower-2000', 'test-lower-2000'))
    assert {name.split('_')[0].split('/')[0] for name in lower + test} == {'lower'}
    assert {name[:6] for name in capitals if not name[0].isdigit()} <= {'upper_'}
    halves = [{name.split('/')[1].split('-')[0] for name in names} for names in (capitals, lower)]
    assert not halves[0] & halves[1]
    families = {path.name.split('-')[0] for path in (glyphs / 'train').rglob('*.png')}
    assert halves[0] | halves[1] == families
    assert set(test) == {f'{path.parent.name}/{path.name}' for path in (glyphs / 'test').glob('lower_*/*')}


def test_a_list_that_is_new_is_added(glyphs, tmp_path):
    out = tmp_path / 'out'
    shutil.copytree(glyphs, out)
    (out / 'train-capitals.txt').unlink()
    (out / 'test-3000.txt').write_text('mine')
    run_tool(TOOL, FONTS, out)
    before, after = files_of(glyphs), files_of(out)
    assert after.pop('test-3000.txt') == b'mine' and before.pop('test-3000.txt') and after == before


def test_the_same_bytes_again(glyphs, tmp_path):
    run_tool(TOOL, FONTS, tmp_path / 'out')
    assert files_of(tmp_path / 'out') == files_of(glyphs)


def test_where_fonts_lie_plays_no_part(glyphs, tmp_path, capsys):
    folders = [tmp_path / 'b', tmp_path / 'a b']
    for i, path in enumerate(sorted(FONTS.glob('*.ttf'))):
        (folders[i % 2] / 'deep').mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folders[i % 2] / 'deep' / f'{i}.TTF')
    shutil.copy(path, folders[1] / 'again.otf')
    run_tool(TOOL, *folders, tmp_path / 'out')
    assert files_of(tmp_path / 'out') == files_of(glyphs)
    assert 'left out: 1 fonts that are there twice' in capsys.readouterr().out


def test_bad_fonts_are_said(tmp_path, capsys):
    shutil.copytree(FONTS, tmp_path / 'fonts')
    (tmp_path / 'fonts/broken.ttf').write_bytes(b'no font')
    (tmp_path / 'fonts/gone.otf').symlink_to(tmp_path / 'nowhere')
    run_tool(TOOL, tmp_path / 'fonts', tmp_path / 'out')
    said = capsys.readouterr().out
    assert 'left out: 2 fonts that cannot be read' in said
    assert re.search(r'left out: \d+ fonts that lack letters', said)


def test_twice_and_other_fonts(tmp_path, capsys):
    shutil.copytree(FONTS, tmp_path / 'fonts', ignore=shutil.ignore_patterns('STIXN*', 'STIXS*'))
    run_tool(TOOL, tmp_path / 'fonts', tmp_path / 'out')
    (tmp_path / 'out/train/0').rename(tmp_path / 'kept')
    run_tool(TOOL, tmp_path / 'fonts', tmp_path / 'out')
    assert 'is there already' in capsys.readouterr().out and not (tmp_path / 'out/train/0').exists()
    (tmp_path / 'fonts/DejaVuSans-Bold.ttf').unlink()
    with pytest.raises(ValueError, match='must not exist, or have the glyphs of these fonts'):
        run_tool(TOOL, tmp_path / 'fonts', tmp_path / 'out')
    (tmp_path / 'out/fonts.json').unlink()
    with pytest.raises(ValueError, match='it has those of None'):
        run_tool(TOOL, tmp_path / 'fonts', tmp_path / 'out')


def test_all_or_nothing(glyphs, tmp_path):
    with mock.patch('cv2.imwrite', side_effect=[True] * 100 + [OSError('no space')]), \
            pytest.raises(OSError, match='no space'):
        run_tool(TOOL, FONTS, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    run_tool(TOOL, FONTS, tmp_path / 'out')
    assert files_of(tmp_path / 'out') == files_of(glyphs)
    assert [path.name for path in tmp_path.iterdir()] == ['out']


def test_no_fonts(tmp_path):
    with pytest.raises(ValueError, match='there is no folder'):
        run_tool(TOOL, tmp_path / 'none', tmp_path / 'out')
    with pytest.raises(ValueError, match='must be fonts of several families'):
        run_tool(TOOL, tmp_path, tmp_path / 'out')


def test_a_familys_split_does_not_depend_on_other_fonts(glyphs, tmp_path):
    places = defaultdict(set)
    for path in glyphs.rglob('*.png'):
        places[path.name.split('-')[0]].add(path.parts[-3])
    shutil.copytree(FONTS, tmp_path / 'fonts', ignore=shutil.ignore_patterns('*Bold*'))
    run_tool(TOOL, tmp_path / 'fonts', tmp_path / 'out')
    for path in (tmp_path / 'out').rglob('*.png'):
        assert places[path.name.split('-')[0]] == {path.parts[-3]}
