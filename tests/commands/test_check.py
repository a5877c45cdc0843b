import argparse
import json
from pathlib import Path
from unittest.mock import patch

import cv2
import pytest

from pic_plugin.commands.check import add_arguments, check, run
from pic_plugin.datasets import findings
from tests.photos import write_photographs
from tests.tiny import write_images


def typed(*arguments):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    run(parser.parse_args([str(argument) for argument in arguments]))


def test_what_is_printed_and_written(tmp_path, capfd):
    folder = write_photographs(tmp_path / 'photos')
    typed(folder, '--out', tmp_path / 'new/checked', '--threads', 2)
    printed, errors = capfd.readouterr()
    lines = printed.splitlines()
    # decoders differ in how many they can read of those that are cut off: the bar is all the same the longest
    assert [line for line in lines if line.startswith('    64-127') and line.endswith(' ' + '█' * 40)]
    for expected in ['29 files, ', 'cut-off: 6 (the file ends before the image does)', 'animated: 2 (several frames or',
                     f'    {folder}/d/copy.jpg is {folder}/a/plain.JPG', '    …',
                     f'{tmp_path}/new/checked/findings.json: all of it, with the names; pretrain --without']:
        assert [line for line in lines if line.startswith(expected)], expected
    assert 'libpng' not in errors and 'imdecode' not in errors  # the decoders' own words, which name no file
    assert json.loads((tmp_path / 'new/checked/findings.json').read_text())['num_images'] == 29
    picture = cv2.imread(str(tmp_path / 'new/checked/sizes.png'))
    assert min(picture.shape[:2]) > 300 and picture.std() > 5


def test_in_python(tmp_path, capsys):
    folder = write_images(tmp_path / 'images', 1)
    found = check(folder)
    assert found.sides.tolist() == [[8, 8]] and not found.flags.any()
    assert 'nothing is wrong, and nothing is there twice' in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ['images']


def test_all_unreadable(tmp_path, capsys):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images/caf\udce9.png').write_bytes(b'')
    check(tmp_path / 'images', tmp_path / 'out')
    assert 'unreadable: 1 (cannot be decoded' in (printed := capsys.readouterr().out)
    assert 'caf\\udce9.png (ValueError: empty)' in printed
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['findings.json']  # no size to draw


@pytest.mark.parametrize('error', [KeyboardInterrupt, ValueError])
def test_what_is_stopped_leaves_nothing(error, tmp_path):
    folder = write_images(tmp_path / 'images', 3)
    with patch.object(findings, 'inspect_image', side_effect=error), pytest.raises(error):
        check(folder, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    check(folder, tmp_path / 'out')


def test_what_cannot_be(tmp_path):
    folder = write_images(tmp_path / 'images', 2)
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'there').mkdir()
    for arguments, message in [
        ((tmp_path / 'empty', tmp_path / 'out'), 'there must be images in .*empty, and there are none'),
        ((tmp_path / 'nowhere', tmp_path / 'out'), 'there is no folder or file'),
        ((folder, tmp_path / 'there'), 'there exists, and is not overwritten; remove it or give another name'),
        ((folder, tmp_path / 'out', 0), 'num_threads must be positive'),
    ]:
        with pytest.raises(ValueError, match=message):
            check(*arguments)
        assert not (tmp_path / 'out').exists()
    with patch.object(Path, 'mkdir', side_effect=PermissionError('denied')), \
            pytest.raises(ValueError, match='no permission to write to'):
        check(folder, tmp_path / 'out')
