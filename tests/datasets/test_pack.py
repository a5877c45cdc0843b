import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pic_plugin.datasets import pack
from pic_plugin.datasets.names import Names
from pic_plugin.datasets.pack import Pack, PackWriter

FILES = {'a': b'', 'b/c': b'hello' * 9, 'b/d\udce9': b'\0\xff', '\u4e2d': b'x' * 99}  # sorted as text


def write(path, files=FILES):
    writer = PackWriter(path, 'test')
    for content in list(files.values())[writer.count:]:
        writer.add(content, content == b'')
    return writer.finish(Names.of(map(os.fsencode, files)))


def contents(path):
    return {name: Pack(str(path)).read(name) for name in map(os.fsdecode, Pack(str(path)).names)}


@given(st.dictionaries(st.binary(min_size=1, max_size=5).filter(lambda name: 0 not in name), st.binary(max_size=20),
                       min_size=1, max_size=8))
def test_what_is_written_is_read(tmp_path_factory, files):
    files = dict(sorted((os.fsdecode(name), content) for name, content in files.items()))
    path = tmp_path_factory.mktemp('pack') / 'x.pack'
    assert write(path, files) == [name for name, content in files.items() if not content]
    assert contents(path) == files and os.listdir(path.parent) == ['x.pack']
    assert list(Pack(str(path)).altered()) == []
    with pytest.raises(KeyError):
        Pack(str(path)).read('nowhere')


def test_a_pack_that_was_cut_off_or_altered_anywhere(tmp_path):
    path = tmp_path / 'x.pack'
    write(path)
    whole = path.read_bytes()
    images = len(pack.MAGIC) + sum(map(len, FILES.values()))
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r'x\.pack was cut off, or altered, since tools/pack_images\.py wrote it'):
            Pack(str(path))
    for place in range(len(pack.MAGIC), len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1:])
        if place < images:
            assert len(list(Pack(str(path)).altered())) == 1
        else:
            with pytest.raises(ValueError, match='was cut off, or altered'):
                Pack(str(path))
    path.write_bytes(whole + b'\0')
    with pytest.raises(ValueError, match='was cut off, or altered'):
        Pack(str(path))


def test_an_altered_image_is_not_given(tmp_path):
    path = tmp_path / 'x.pack'
    write(path)
    path.write_bytes(path.read_bytes().replace(b'hello', b'hullo', 1))
    with pytest.raises(ValueError, match='altered since it was packed'):
        Pack(str(path)).read('b/c')
    assert Pack(str(path)).read('\u4e2d') == b'x' * 99


def test_a_pack_is_written_on_wherever_it_was_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(pack, '_FLUSH_BYTES', 0)
    write(tmp_path / 'whole.pack')
    expected = (tmp_path / 'whole.pack').read_bytes()
    for count in range(len(FILES) + 1):
        for lost in (0, 1, 50):  # of the images' last bytes, and of records that are not whole
            path = tmp_path / f'{count}-{lost}.pack'
            writer = PackWriter(path, 'test')
            for content in list(FILES.values())[:count]:
                writer.add(content, content == b'')
            del writer
            partial = path.with_name(path.name + '.partial')
            images, records = partial / 'images', partial / 'records'
            os.truncate(images, max(0, images.stat().st_size - lost))
            with records.open('ab') as file:
                file.write(b'\1' * (lost % 16))
            if count > 1 and not lost:  # the first one is empty, and alone is not flushed
                assert PackWriter(path, 'test').count == count
            assert write(path) == ['a'] and path.read_bytes() == expected


def test_what_is_not_gone_on_with(tmp_path):
    path = tmp_path / 'x.pack'
    writer = PackWriter(path, 'some images')
    other = subprocess.run([sys.executable, '-c', 'import sys; from pathlib import Path; from pic_plugin.datasets.pack '
                            f'import PackWriter; PackWriter(Path({str(path)!r}), "some images")'],
                           capture_output=True, text=True, check=False)
    assert 'ValueError: another process is writing' in other.stderr
    del writer
    with pytest.raises(ValueError, match=r'partial was begun with some images, and now it is others; remove it'):
        PackWriter(path, 'others')
    write(tmp_path / 'y.pack')
    with pytest.raises(ValueError, match=r'y\.pack is there already; remove it, or name another file'):
        write(tmp_path / 'y.pack')


def test_a_foreign_file(tmp_path):
    path = Path(tmp_path / 'x.pack')
    for content in (b'', b'hello', bytes(1000), pack.MAGIC * 20):
        path.write_bytes(content)
        with pytest.raises(ValueError, match='or is no pack'):
            Pack(str(path))
