"""Against torchvision's functions, one image at a time."""
import math

import pytest
import torch
import torchvision.transforms.functional as TF

from pic_plugin.augmentations import affine, erase

LEVELS = 1e-3  # of 255


@pytest.mark.parametrize('channels, height, width', [(1, 28, 28), (3, 15, 22), (3, 22, 15), (1, 1, 9)])
@pytest.mark.parametrize('fill', [0.0, 200.0])
def test_affine(channels, height, width, fill):
    generator = torch.Generator().manual_seed(0)
    images = 255 * torch.rand(16, channels, height, width, generator=generator)
    inverses, expected = [], []
    for i, image in enumerate(images):
        angle, scale, shear = (torch.rand(4, generator=generator) * 60 - 30).tolist(), 0.7 + i / 20, [12.0 - i, i - 5.0]
        angle, shift = angle[0], [i - 8, 4 - i]
        inverses.append(TF._get_inverse_affine_matrix([0.0, 0.0], angle, shift, scale, shear))
        # torchvision's own fill is multiplied by the share inside twice; this is what it means
        inside = TF.affine(image - fill, angle, shift, scale, shear, TF.InterpolationMode.BILINEAR)
        expected.append(inside + fill)
    given = affine(images, torch.tensor(inverses).unflatten(1, (2, 3)), fill)
    assert (given - torch.stack(expected)).abs().max() < LEVELS


def test_the_identity_and_a_turn():
    images = 255 * torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])
    given = affine(images, torch.stack([torch.eye(2, 3), quarter]))
    torch.testing.assert_close(given[0], images[0], atol=LEVELS, rtol=0)
    torch.testing.assert_close(given[1], images[1].rot90(1, (1, 2)), atol=LEVELS, rtol=0)


def test_erase():
    images = 255 * torch.rand(5, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    boxes = [(0, 0, 0, 0), (0, 0, 12, 10), (3, 2, 4, 5), (11, 9, 1, 1), (5, 0, 2, 10)]
    expected = torch.stack([TF.erase(image, *box, torch.full((), 7.0)) for image, box in zip(images, boxes)])
    assert torch.equal(erase(images, torch.tensor(boxes, dtype=torch.float32), 7.0), expected)
    assert not torch.equal(expected, images) and math.isclose(expected[1].mean(), 7)
