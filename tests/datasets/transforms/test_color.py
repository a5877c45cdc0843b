import itertools

import numpy as np
import pytest
import torch
import torchvision.transforms as T

from pic_plugin.datasets.transforms import ColorJitter, GaussianBlur, RandomGrayscale, RandomHorizontalFlip
from pic_plugin.functional.hashing import Draws, hash64

from .distributions import NUM, differ, differ_in_counts

KEYS = hash64(7, torch.arange(NUM)).tolist()
JITTER = dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
SIZE = 32, 40


def drawn(augmentation, num=NUM, size=SIZE):
    return [augmentation.draw(Draws(key), *size) for key in KEYS[:num]]


@pytest.mark.parametrize('settings', [JITTER, dict(brightness=(0.5, 0.9), contrast=2, saturation=0, hue=(0.1, 0.3))])
def test_jitter_is_distributed_as_torchvisions(settings):
    ours, theirs = drawn(ColorJitter(**settings)), []
    reference = T.ColorJitter(**settings)
    torch.manual_seed(0)
    for _ in range(NUM):
        order, *factors = reference.get_params(reference.brightness, reference.contrast, reference.saturation,
                                               reference.hue)
        theirs.append(([1.0 if factor is None else factor for factor in factors], tuple(order.tolist())))
    assert not differ([row[:4] for row in ours], [factors for factors, _ in theirs])
    assert not differ_in_counts([tuple(map(int, row[4:])) for row in ours], [order for _, order in theirs])
    assert {row[4:] for row in ours} == {*itertools.permutations(range(4))}
    assert differ(([row[0] * 1.03] for row in ours), ([factors[0]] for factors, _ in theirs))  # the test can tell


@pytest.mark.parametrize('augmentation, fires, p', [
    (ColorJitter(**JITTER, p=0.8), lambda row: row[4] >= 0, 0.8), (RandomGrayscale(p=0.2), lambda row: row[0], 0.2),
    (GaussianBlur(p=0.5), lambda row: row[0], 0.5), (RandomHorizontalFlip(), lambda row: row[0], 0.5)])
def test_how_often(augmentation, fires, p):
    rows = drawn(augmentation)
    assert {len(row) for row in rows} == {augmentation.num_parameters}
    assert abs(sum(map(bool, map(fires, rows))) - p * NUM) < 3.3 * (NUM * p * (1 - p))**0.5
    never, always = (type(augmentation)(p=p) for p in (0.0, 1.0))
    assert not any(map(fires, drawn(never, 200))) and all(map(fires, drawn(always, 200)))


def test_sigmas_are_distributed_as_torchvisions():
    torch.manual_seed(0)
    ours = [row for row in drawn(GaussianBlur(sigma=(0.1, 2.0))) if row[0]]
    assert not differ(ours, ([T.GaussianBlur.get_params(0.1, 2.0)] for _ in range(NUM)))


def test_draws_do_not_hang_together():
    """Neither those of one image nor those of visits that follow each other."""
    augmentations = RandomHorizontalFlip(), ColorJitter(**JITTER), RandomGrayscale(), GaussianBlur()
    rows = []
    for key in KEYS:
        draws = Draws(key)
        rows.append([value for augmentation in augmentations for value in augmentation.draw(draws, *SIZE)])
    columns = np.delete(np.array(rows), [5, 6, 7, 8], axis=1).T  # orders hang together
    correlations = np.corrcoef(np.concatenate([columns[:, 1:], columns[:, :-1]])) - np.eye(2 * len(columns))
    assert np.abs(correlations).max() < 5 / NUM**0.5


def smooth(shape, num=24):
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (num, shape[2] if len(shape) > 2 else 1, 6, 6), generator=generator).float()
    pictures = torch.nn.functional.interpolate(coarse, shape[:2], mode='bicubic').clamp(0, 255).round().byte()
    return pictures.permute(0, 2, 3, 1).numpy().reshape(num, *shape)


@pytest.mark.parametrize('augmentation, largest, mean', [
    (RandomHorizontalFlip(), 0, 0),
    (RandomGrayscale(p=0.5), 0.6, 0.3),
    (GaussianBlur(), 1.1, 0.3),
    (ColorJitter(brightness=0.4), 0.6, 0.3),
    (ColorJitter(contrast=0.4), 0.6, 0.3),
    (ColorJitter(saturation=0.4), 1.1, 0.3),
    (ColorJitter(hue=0.1), 13, 0.8),  # bytes of hue, saturation and value hold fewer colours than those of RGB
    (ColorJitter(**JITTER, p=0.8), 15, 0.8),
])
@pytest.mark.parametrize('shape', [(32, 40, 3), (32, 40)])
def test_host_and_device_give_the_same_views(augmentation, largest, mean, shape):
    images = smooth(shape)
    before = images.copy()
    parameters = drawn(augmentation, len(images), shape[:2])
    on_host = np.stack([augmentation.on_host(image, row) for image, row in zip(images, parameters)])
    assert (images == before).all() and on_host.dtype == np.uint8 and on_host.shape == images.shape
    batch = torch.from_numpy(images.reshape(*images.shape[:3], -1)).permute(0, 3, 1, 2).flip(1).float()  # red first
    sent = augmentation.to_send(torch.tensor(parameters, dtype=torch.float64))
    on_device = augmentation.on_device(batch, *sent).flip(1).permute(0, 2, 3, 1).numpy().reshape(images.shape)
    difference = np.abs(on_device - on_host)
    assert difference.max() <= largest and difference.mean() <= mean
    if len(shape) == 3:
        assert (on_host != images).any()


@pytest.mark.parametrize('build, message', [
    (lambda: ColorJitter(brightness=(1, 0)), r'brightness must be two numbers \(a, b\) with 0 <= a <= b <= 1000, got'),
    (lambda: ColorJitter(hue=0.6), 'hue must be two numbers .* with -0.5 <= a <= b <= 0.5'),
    (lambda: ColorJitter(p=-1), 'p must be a number from 0 to 1, got -1'),
    (lambda: RandomGrayscale(p='0.2'), "p must be a number from 0 to 1, got '0.2'"),
    (lambda: RandomHorizontalFlip(p=None), 'p must be a number from 0 to 1, got None'),
    (lambda: GaussianBlur(sigma=1.0), 'sigma must be two numbers'),
    (lambda: GaussianBlur(sigma=(0, 1)), 'sigma must be two numbers'),
    (lambda: GaussianBlur(p=3), 'p must be a number from 0 to 1, got 3'),
    (lambda: GaussianBlur().draw(Draws(0), 8, 40), 'sigma up to 2 needs images of more than 8 pixels, got 8 x 40'),
])
def test_wrong_settings(build, message):
    with pytest.raises(ValueError, match=message):
        build()
