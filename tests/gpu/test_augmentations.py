"""The batched augmentations on one GPU, compiled or not: the CPU's views to rounding, the same bits in any batch."""
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
from pic_plugin.models import InstanceDataPreprocessor
from pic_plugin.models.compiled import Compiled

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


def test_compiled():
    """As in training: all but what moves pixels by fractions, in few kernels, for two sizes of crops."""
    preprocessor = InstanceDataPreprocessor(mean=[120] * 3, std=[50] * 3, to_rgb=True).cuda()
    preprocessor.augmentations = AUGMENTATIONS[:4]
    compiled = Compiled(InstanceDataPreprocessor.prepared, fullgraph=True)
    for size in (224, 96):
        images = torch.randint(0, 256, (96, 3, size, size), dtype=torch.uint8).cuda()
        drawn = [torch.tensor([augmentation.draw(Draws(i), size, size) for i in range(len(images))],
                              dtype=torch.float64) for augmentation in preprocessor.augmentations]
        parameters = [[x.cuda() for x in augmentation.to_send(values)]
                      for augmentation, values in zip(preprocessor.augmentations, drawn)]
        whole = compiled(preprocessor, images, parameters)
        assert 50 * (whole - preprocessor.prepared(images, parameters)).abs().max() < 1e-3
        for some in (slice(0, 2), slice(2, 31), slice(31, 96)):
            part = compiled(preprocessor, images[some], [[x[some] for x in of_one] for of_one in parameters])
            assert torch.equal(part, whole[some])
    assert not compiled.failed
