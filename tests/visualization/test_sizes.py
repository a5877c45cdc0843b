import cv2
import numpy as np

from pic_plugin.visualization.sizes import plot_sizes, size_bars


def test_bars_count_by_powers_of_two():
    sides = np.array([1] * 3 + [4, 5, 7] * 100 + [8] + [31] * 150)
    assert size_bars(sides) == [
        '     1-1              3 █',
        '     2-3              0',
        '     4-7            300 ████████████████████████████████████████',
        '     8-15             1 █',
        '    16-31           150 ████████████████████']


def test_one_size(tmp_path):
    plot_sizes(np.full((5, 2), 28, np.uint16), tmp_path / 'sizes.png')
    assert cv2.imread(str(tmp_path / 'sizes.png')).std() > 5


def test_many_sizes(tmp_path):
    sides = np.random.default_rng(0).integers(1, 65536, (500, 2)).astype(np.uint16)
    sides[0] = 65535, 1
    plot_sizes(sides, tmp_path / 'sizes.png')
    assert cv2.imread(str(tmp_path / 'sizes.png')).std() > 5
