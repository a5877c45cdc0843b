"""The batched augmentations on one GPU: the CPU's views to rounding, and the same bits in any batch."""
import pytest
import torch

from pic_plugin.datasets.transforms import (
    ColorJitter,
    GaussianBlur,
    RandomAffine,
    RandomErasing,
    RandomGrayscale,
    RandomHorizontalFlip,
)
from pic_plugin.functional.hashing import Draws

from . import needs_gpus

pytestmark = needs_gpus(1)

AUGMENTATIONS = [
    RandomHorizontalFlip(), ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8), RandomGrayscale(0.2), GaussianBlur(p=0.5),
    RandomAffine(10, (0.1, 0.1), (0.8, 1.2), 10), RandomErasing(0.5)]


def augmented(augmentation, images, parameters, device):
    sent = [tensor.to(device) for tensor in augmentation.to_send(parameters)]
    return augmentation.on_device(images.to(device).clone(), *sent).cpu()


@pytest.mark.parametrize('augmentation', AUGMENTATIONS, ids=lambda augmentation: type(augmentation).__name__)
def test_the_cpus_views_and_the_same_bits_in_any_batch(augmentation):
    images = torch.randint(0, 256, (96, 3, 224, 224), generator=torch.Generator().manual_seed(0)).float()
    parameters = torch.tensor([augmentation.draw(Draws(i), 224, 224) for i in range(len(images))], dtype=torch.float64)
    whole = augmented(augmentation, images, parameters, 'cuda')
    for size in (1, 5, 32):
        parts = [augmented(augmentation, *part, 'cuda') for part in zip(images.split(size), parameters.split(size))]
        assert torch.equal(torch.cat(parts), whole)
    difference = (whole - augmented(augmentation, images, parameters, 'cpu')).abs()
    # of pixels that are all different: 1e-3 of 255 levels, and positions to 1e-5 of 224 pixels
    assert difference.max() < (0.5 if isinstance(augmentation, RandomAffine) else 1e-3)
