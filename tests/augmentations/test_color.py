"""Against torchvision's functions of floats, one image at a time; its images are 0..1."""
import itertools

import pytest
import torch
import torchvision.transforms.functional as TF

from pic_plugin.augmentations import gaussian_blur, gaussian_weights, grey_of, jitter, shift_hue

LEVELS = 1e-3  # of 255
B = 24


def images(channels=3):
    """Random pixels, smooth pictures, and extreme colours."""
    generator = torch.Generator().manual_seed(0)
    out = torch.randint(0, 256, (B, channels, 20, 18), generator=generator).float()
    out[8:16] = torch.nn.functional.interpolate(out[8:16, :, :4, :4], (20, 18), mode='bicubic').clamp(0, 255)
    out[16] = torch.tensor([0.0, 255.0]).repeat_interleave(9)  # grey, black and white
    out[17:20] = (out[17:20] > 127) * 255.0
    out[20] = 0
    return out


def spread(low, high):
    return torch.linspace(low, high, B)[torch.randperm(B, generator=torch.Generator().manual_seed(1))]


def largest_difference(given, function, *arguments):
    expected = [function(image / 255, *(value.item() for value in values)) * 255
                for image, *values in zip(images(given.shape[1]), *arguments)]
    return (given - torch.stack(expected)).abs().max()


def steps(*weights):
    """One step before the hue and one after it, of which one does something, in every other image the second one."""
    blends = torch.tensor([1.0, 0.0, 0.0]).repeat(B, 2, 1, 1)
    blends[torch.arange(B), torch.arange(B) % 2, 0] = torch.stack(weights, 1)
    return blends


@pytest.mark.parametrize('channels', [3, 1])
@pytest.mark.parametrize('name', ['adjust_brightness', 'adjust_contrast', 'adjust_saturation'])
def test_one_change(name, channels):
    factors, zero = spread(0.0, 2.0), torch.zeros(B)
    rest = 1 - factors
    weights = {'adjust_brightness': (zero, zero), 'adjust_saturation': (rest, zero), 'adjust_contrast': (zero, rest)}
    given = jitter(images(channels), steps(factors, *weights[name]), zero)
    assert largest_difference(given, getattr(TF, name), factors) < LEVELS
    assert torch.equal(jitter(images(channels), steps(torch.ones(B), zero, zero), zero), images(channels))


@pytest.mark.parametrize('channels', [3, 1])
def test_hue(channels):
    turns = spread(-0.5, 0.5)
    assert largest_difference(shift_hue(images(channels), turns), TF.adjust_hue, turns) < LEVELS
    assert torch.equal(shift_hue(images(channels), torch.zeros(B)), images(channels))


def test_grey():
    assert largest_difference(grey_of(images()).expand(-1, 3, -1, -1), lambda x: TF.rgb_to_grayscale(x, 3)) < LEVELS
    assert torch.equal(grey_of(images(1)), images(1))


@pytest.mark.parametrize('radius', [1, 8])
def test_blur(radius):
    sigmas = spread(0.1, radius / 4 + 0.1)
    given = gaussian_blur(images(), gaussian_weights(sigmas, radius).float())
    assert largest_difference(given, lambda x, sigma: TF.gaussian_blur(x, 2 * radius + 1, sigma), sigmas) < LEVELS


def test_a_wider_blur_is_the_same():
    sigmas = spread(0.1, 2.0)
    given, wider = (gaussian_blur(images(), gaussian_weights(sigmas, radius).float()) for radius in (8, 11))
    assert (given - wider).abs().max() < 40 * LEVELS  # 6e-5 of a Gaussian lie beyond four standard deviations


def test_images_that_are_not_blurred():
    given = gaussian_blur(images(), gaussian_weights(torch.full((B, ), 1e-2), 8).float())
    assert torch.equal(given, images())


def test_colours_in_any_order():
    orders = list(itertools.permutations(range(4)))
    factors = torch.stack([spread(0.6, 1.4), spread(1.4, 0.6), spread(0.5, 1.5), spread(-0.1, 0.1)])
    functions = TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue
    blends = torch.tensor([1.0, 0.0, 0.0]).repeat(B, 2, 3, 1)
    for i, order in enumerate(orders):
        at = order.index(3)
        for part, changes in enumerate((order[:at], order[at + 1:])):
            for step, change in enumerate(changes):
                factor = blends[i, part, step, 0] = factors[change, i]
                if change:
                    blends[i, part, step, 3 - change] = 1 - factor

    def expected(image, i):
        for change in orders[int(i)]:
            image = functions[change](image, factors[change, int(i)].item())
        return image

    assert largest_difference(jitter(images(), blends, factors[3]), expected, torch.arange(B)) < LEVELS
