import cv2
import numpy as np
import pytest
import torch
import torchvision.transforms as T
import torchvision.transforms.functional as TF

from pic_plugin.datasets.transforms import RandomAffine, RandomErasing
from pic_plugin.functional.hashing import Draws, hash64

from .distributions import NUM, differ, differ_in_counts

KEYS = hash64(torch.arange(NUM)).tolist()
SIZE = 24, 30  # height, width
SETTINGS = [
    dict(degrees=10, translate=(0.08, 0.1), scale=(0.85, 1.15), shear=10),
    dict(degrees=(-5, 90), shear=(-10, 5, 0, 20)),
    dict(degrees=0, scale=(0.5, 2.0)),
]


def drawn(augmentation, num=NUM, size=SIZE):
    return [augmentation.draw(Draws(key), *size) for key in KEYS[:num]]


def torchvisions(settings, num=NUM):
    torch.manual_seed(0)
    theirs = T.RandomAffine(**settings)
    for _ in range(num):
        parameters = theirs.get_params(theirs.degrees, theirs.translate, theirs.scale, theirs.shear, SIZE[::-1])
        yield TF._get_inverse_affine_matrix([0.0, 0.0], *parameters)


@pytest.mark.parametrize('settings', SETTINGS)
def test_affine_maps_are_distributed_as_torchvisions(settings):
    ours = drawn(RandomAffine(**settings))
    assert not differ(ours, torchvisions(settings))
    narrower = {**settings, 'degrees': (-5, 70)} if settings['degrees'] else {**settings, 'scale': (0.6, 2.0)}
    if settings is not SETTINGS[0]:
        assert differ(drawn(RandomAffine(**narrower)), torchvisions(settings))  # the test can tell


def test_shifts_are_whole_and_distributed_as_torchvisions():
    settings = dict(degrees=0, translate=(0.1, 0.2))
    ours, theirs = (np.array([(row[2], row[5]) for row in rows]) for rows in (
        drawn(RandomAffine(**settings)), torchvisions(settings)))
    assert (ours == ours.round()).all() and set(ours[:, 0]) == set(range(-3, 4))
    assert not differ_in_counts(ours[:, 0], theirs[:, 0]) and not differ_in_counts(ours[:, 1], theirs[:, 1])


def test_rectangles_are_distributed_as_torchvisions():
    ours = [box for box in drawn(RandomErasing(p=0.5, scale=(0.05, 0.6), ratio=(0.2, 4))) if box[2]]
    assert abs(len(ours) - NUM / 2) < 3.3 * (NUM / 4)**0.5  # and not all fit
    torch.manual_seed(0)
    image = torch.zeros(1, *SIZE)
    theirs = [T.RandomErasing.get_params(image, (0.05, 0.6), (0.2, 4), [0.0])[:4] for _ in range(NUM)]
    assert not differ(ours, [box for box in theirs if box[2:] != SIZE])


@pytest.mark.parametrize('p', [0.0, 0.3, 1.0])
def test_how_often_is_erased(p):
    count = sum(box[2] > 0 for box in drawn(RandomErasing(p=p, scale=(0.05, 0.2))))
    assert abs(count - p * NUM) <= 3.3 * (NUM * p * (1 - p))**0.5


# bytes are rounded; OpenCV 4 rounds positions, too, to 1/32 of a pixel, and these pixels are random
AFFINE = (0.502, 0.26) if int(cv2.__version__.split('.')[0]) > 4 else (8.5, 1.0)


@pytest.mark.parametrize('augmentation, bound, mean', [
    (RandomAffine(degrees=10, translate=(0.08, 0.08), scale=(0.85, 1.15), shear=10), *AFFINE),
    (RandomAffine(degrees=30, shear=(-9, 9, -9, 9), fill=255), *AFFINE),
    (RandomErasing(p=1.0, scale=(0.05, 0.25)), 0, 0),
    (RandomErasing(p=0.5, value=99), 0, 0),
])
@pytest.mark.parametrize('shape', [(28, 28), (24, 30, 3)])
def test_host_and_device_give_the_same_views(augmentation, bound, mean, shape):
    images = np.random.default_rng(0).integers(0, 256, (40, *shape), np.uint8)
    before = images.copy()
    parameters = drawn(augmentation, 40, shape[:2])
    on_host = np.stack([augmentation.on_host(image, row) for image, row in zip(images, parameters)])
    assert (images == before).all() and on_host.dtype == np.uint8 and (on_host != images).any()
    batch = torch.from_numpy(images.reshape(*images.shape[:3], -1)).permute(0, 3, 1, 2).float()
    on_device = augmentation.on_device(batch, *augmentation.to_send(torch.tensor(parameters)))
    difference = np.abs(on_device.permute(0, 2, 3, 1).numpy().reshape(on_host.shape) - on_host)
    assert difference.max() <= bound and difference.mean() <= mean


@pytest.mark.parametrize('build, message', [
    (lambda: RandomAffine(degrees=(10, 5)), r'degrees must be two numbers \(a, b\) with -180 <= a <= b <= 180, got'),
    (lambda: RandomAffine(5, translate=(0.1, 2)), r'translate must be two shares \(x, y\) from 0 to 1, got \(0.1, 2\)'),
    (lambda: RandomAffine(5, scale=0.5), 'scale must be two numbers'),
    (lambda: RandomAffine(5, scale=(0, 1)), 'scale must be two numbers'),
    (lambda: RandomAffine(5, shear=100), 'shear must be two numbers'),
    (lambda: RandomAffine(5, fill='black'), 'fill must be a number'),
    (lambda: RandomErasing(p=2), 'p must be a number from 0 to 1, got 2'),
    (lambda: RandomErasing(p=True), 'p must be a number from 0 to 1, got True'),
    (lambda: RandomErasing(scale='01'), 'scale must be two numbers'),
    (lambda: RandomErasing(ratio=(0, 1)), 'ratio must be two numbers'),
    (lambda: RandomErasing(value=None), 'value must be a number'),
])
def test_wrong_settings(build, message):
    with pytest.raises(ValueError, match=message):
        build()
