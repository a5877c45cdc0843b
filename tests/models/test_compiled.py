"""What is done with a batch's images where there is a GPU: one graph, for whatever compiler."""
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from pic_plugin.datasets.transforms import ColorJitter, GaussianBlur, RandomGrayscale, RandomHorizontalFlip
from pic_plugin.functional.hashing import Draws
from pic_plugin.models import InstanceDataPreprocessor
from pic_plugin.models.compiled import Compiled

CHAIN = [RandomHorizontalFlip(), ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8), RandomGrayscale(0.2), GaussianBlur()]


def batch(augmentations, num, size):
    generator = torch.Generator().manual_seed(size)
    images = torch.randint(0, 256, (num, 3, size, size), dtype=torch.uint8, generator=generator)
    drawn = [torch.tensor([augmentation.draw(Draws(i), size, size) for i in range(num)], dtype=torch.float64)
             for augmentation in augmentations]
    return images, [augmentation.to_send(parameters) for augmentation, parameters in zip(augmentations, drawn)]


def test_one_graph_for_all_batches_of_images_of_a_size_gives_the_same():
    counter = CompileCounterWithBackend('eager')  # a compiler of C++ would take half a minute
    preprocessor = InstanceDataPreprocessor(mean=[120] * 3, std=[50] * 3, to_rgb=True)
    preprocessor.augmentations = CHAIN
    compiled = Compiled(InstanceDataPreprocessor.prepared, backend=counter, fullgraph=True)
    for num_graphs, size in ((1, 24), (2, 20)):
        images, parameters = batch(CHAIN, 12, size)
        whole = preprocessor.prepared(images, parameters)
        first = 0
        for num in (2, 7, 3):
            some = slice(first, first := first + num)
            part = compiled(preprocessor, images[some], [[x[some] for x in of_one] for of_one in parameters])
            assert 50 * (part - whole[some]).abs().max() < 1e-3  # of 255 levels
        assert counter.frame_count == num_graphs


@pytest.mark.parametrize('by_torch', [False, True])
def test_without_a_compiler_the_log_says_so_once(monkeypatch, by_torch):
    """Triton finds none, or torch has none for this Python."""
    asked, said = [], []
    monkeypatch.setattr('pic_plugin.models.compiled.print_log', lambda text, *args: said.append(text))

    def no_compiler(graph, *args, **options):
        asked.append(graph)
        raise RuntimeError('Failed to find C compiler')

    if by_torch:
        monkeypatch.setattr(torch, 'compile', no_compiler)
    compiled = Compiled(lambda x: x + 1, backend=no_compiler)
    given = [compiled(torch.tensor([1.0, 2.0])).tolist() for _ in range(2)]
    assert given == [[2, 3]] * 2 and len(asked) == 1
    assert len(said) == 1 and 'cannot be compiled' in said[0] and 'Failed to find C compiler' in said[0]


def test_other_errors_are_raised():
    with pytest.raises(RuntimeError, match='must match the size'):
        (compiled := Compiled(lambda x, y: x + y, backend='eager'))(torch.zeros(3), torch.zeros(4))
    assert not compiled.failed
