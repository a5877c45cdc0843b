import errno

import pytest

from pic_plugin.whole_file import check_new, whole_file


def test_it_is_there_once_it_is_complete(tmp_path):
    with whole_file(tmp_path / 'new/a.npy') as path:
        assert path.parent == tmp_path / 'new' and path.suffix == '.npy'
        path.write_text('half')
        assert not (tmp_path / 'new/a.npy').exists()
        path.write_text('whole')
    assert [(path.name, path.read_text()) for path in (tmp_path / 'new').iterdir()] == [('a.npy', 'whole')]


@pytest.mark.parametrize('error, raised, message', [
    (OSError(errno.ENOSPC, 'No space left on device'), ValueError, 'no room left on the disk of .*; make room and'),
    (OSError(errno.EDQUOT, 'Disk quota exceeded'), ValueError, 'no room left on the disk'),
    (PermissionError(errno.EACCES, 'Permission denied'), ValueError, 'no permission to write to .*; give another'),
    (OSError(errno.EIO, 'Input/output error'), OSError, 'Input/output error'),
    (KeyboardInterrupt(), KeyboardInterrupt, ''),
])
def test_what_fails_leaves_nothing(error, raised, message, tmp_path):
    with pytest.raises(raised, match=message), whole_file(tmp_path / 'a') as path:
        path.write_text('half')
        raise error
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / 'link').symlink_to(tmp_path / 'nowhere')
    for name in ('link', '.'):
        with pytest.raises(ValueError, match='exists, and is not overwritten; remove it or give another name'):
            check_new(tmp_path / name)
    with pytest.raises(ValueError, match='link exists'), whole_file(tmp_path / 'link'):
        pass
    check_new(tmp_path / 'a')
