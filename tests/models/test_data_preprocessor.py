from itertools import product

import pytest
import torch
from mmpretrain.models import SelfSupDataPreprocessor
from mmpretrain.structures import DataSample

from pic_plugin.models import InstanceDataPreprocessor

NORMALISE = {'three': dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
             'one': dict(mean=[78.0], std=[96.0]), 'integers': dict(mean=[123, 116, 103], std=[58, 57, 57]),
             'nothing': dict()}
DTYPES = (torch.uint8, torch.int64, torch.float16, torch.float32, torch.float64)


def batch(num_views, dtype):
    generator = torch.Generator().manual_seed(0)
    sizes = (5, 8)[:num_views] if num_views else (5, )
    views = [torch.randint(0, 256, (4, 3, size, size), generator=generator).to(dtype) for size in sizes]
    return {'inputs': views if num_views else views[0], 'data_samples': [DataSample() for _ in range(4)]}


@pytest.mark.parametrize('normalise', NORMALISE)
@pytest.mark.parametrize('num_views', [None, 1, 2])
def test_has_the_bits_of_mmpretrains(normalise, num_views):
    for dtype, to_rgb in product(DTYPES, (False, True)):
        options = dict(NORMALISE[normalise], to_rgb=to_rgb)
        given, before = batch(num_views, dtype), batch(num_views, dtype)
        ours = InstanceDataPreprocessor(**options)(given, True)
        theirs = SelfSupDataPreprocessor(**options)(batch(num_views, dtype), True)
        assert isinstance(ours['inputs'], list) == (num_views is not None)
        for name in ours, theirs, given, before:  # a single view in a list of one
            name['inputs'] = name['inputs'] if num_views else [name['inputs']]
        for a, b in zip(ours['inputs'], theirs['inputs']):
            assert a.dtype == b.dtype == torch.float32
            assert torch.equal(a, b)
        for a, b in zip(given['inputs'], before['inputs']):
            assert torch.equal(a, b)  # and what was given is as it was
        assert all(a is b for a, b in zip(ours['data_samples'], given['data_samples']))


def test_in_the_precision_of_the_model():
    options = dict(**NORMALISE['three'], to_rgb=True)
    ours = InstanceDataPreprocessor(**options).double()(batch(None, torch.uint8))['inputs']
    theirs = SelfSupDataPreprocessor(**options).double()(batch(None, torch.uint8))['inputs']
    assert ours.dtype == torch.float64 and torch.equal(ours, theirs)


def test_copies_images_without_blocking_and_leaves_samples(monkeypatch):
    preprocessor, given = InstanceDataPreprocessor(**NORMALISE['three']), batch(2, torch.uint8)
    copies, to = [], torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, 'to', lambda self, *args, **kwargs: copies.append((self, args, kwargs)) or to(
        self, *args, **kwargs))
    monkeypatch.setattr(DataSample, 'to', None)
    preprocessor(given)
    assert [id(copy[0]) for copy in copies] == [id(view) for view in given['inputs']]
    assert all(copy[1:] == ((torch.device('cpu'), ), {'non_blocking': True}) for copy in copies)


def test_without_samples():
    assert InstanceDataPreprocessor()({'inputs': torch.zeros(2, 1, 3, 3)})['data_samples'] is None
