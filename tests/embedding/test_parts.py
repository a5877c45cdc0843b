import errno
import fcntl
from unittest.mock import patch

import pytest

from pic_plugin.embedding.parts import parts_of


@pytest.mark.parametrize('error', [errno.ENOLCK, errno.EOPNOTSUPP])
def test_on_a_file_system_without_locks(tmp_path, error):
    with patch.object(fcntl, 'flock', side_effect=OSError(error, 'no locks')), \
            parts_of(tmp_path / 'out.npy', 5, {'part_size': 2}) as parts:
        assert parts.missing() == [0, 1, 2]


def test_somebody_is_at_it(tmp_path):
    with parts_of(tmp_path / 'out.npy', 5, {'part_size': 2}), \
            pytest.raises(ValueError, match='another process is writing .*out.npy; wait for it'), \
            parts_of(tmp_path / 'out.npy', 5, {'part_size': 2}):
        pass
