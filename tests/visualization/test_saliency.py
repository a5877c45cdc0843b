import cv2
import numpy as np
import torch

from pic_plugin.visualization import Columns, plot_maps, plot_overlaps


def columns(num_images, seed):
    generator = np.random.default_rng(seed)
    images = [generator.integers(0, 256, (20 + 4 * i, 30, 3)[:2 + i % 2], np.uint8) for i in range(num_images)]
    one_place = torch.zeros(num_images, 2, 2)
    one_place[:, 0, 1] = 1
    return Columns(images, {'a': one_place, 'b': 1 - one_place}, torch.rand(num_images))


def test_maps_are_drawn_over_their_images(tmp_path):
    plot_maps({'at random': columns(3, 0), 'others': columns(2, 1)}, tmp_path / 'maps.png')
    picture = cv2.imread(str(tmp_path / 'maps.png'))
    height, width = picture.shape[:2]
    assert (height, width) == (int(100 * (0.5 + 0.8 * 3)), int(100 * (0.4 + 0.8 * 5)))
    # in each network's row, the brightest (yellow) is on the side where its map is
    rows = [picture[height * part // 24:height * (part + 6) // 24, :width // 4].astype(int) for part in (10, 17)]
    yellow = [((row[..., 1] > 130) & (row[..., 2] > 180) & (row[..., 0] < 150)) for row in rows]
    assert all(part.any() for part in yellow)
    middle = [float(np.nonzero(part)[1].mean()) for part in yellow]
    assert middle[0] > middle[1]


def test_histogram_and_accuracy(tmp_path):
    generator = torch.Generator().manual_seed(0)
    overlaps = {'supervised': torch.rand(50, generator=generator), 'random': torch.rand(50, generator=generator)}
    plot_overlaps(overlaps, overlaps['supervised'] > 0.5, tmp_path / 'both.png')
    plot_overlaps(overlaps, None, tmp_path / 'one.png')
    both, one = (cv2.imread(str(tmp_path / name)) for name in ('both.png', 'one.png'))
    assert both.shape == (420, 1080, 3) and one.shape == (420, 540, 3)
    blue = (both == (180, 119, 31)).all(2)
    assert blue[:, 540:].sum() > 200  # the curve, in matplotlib's blue
