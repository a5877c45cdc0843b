"""Views augmented by the data preprocessor, as on a GPU, here on the CPU."""
import PIL.Image
import pytest
import sklearn.datasets
import torch
import torchvision.transforms.functional as TF
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torchvision.transforms._functional_tensor import affine

from pic_plugin.augmentations import gaussian_weights
from pic_plugin.datasets import InstanceDataset
from pic_plugin.models import InstanceDataPreprocessor

NUM = 14
AUGMENT = dict(type='Augment', augmentations=[
    dict(type='RandomHorizontalFlip', p=0.5),
    dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
    dict(type='RandomGrayscale', p=0.2),
    dict(type='GaussianBlur', sigma=(0.1, 2.0), p=0.5),
    dict(type='RandomAffine', degrees=10, translate=(0.1, 0.1)),
    dict(type='RandomErasing', p=0.5, value=30)])
LARGE, SMALL = dict(size=24, scale=(0.2, 1.0)), dict(size=16, scale=(0.1, 0.2))
CROPS = {'one view': LARGE, 'two views': [LARGE, LARGE], 'multi-crop': [LARGE, SMALL, SMALL]}
COLORS = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    init_default_scope('mmpretrain')
    folder = tmp_path_factory.mktemp('images')
    for i in range(NUM):
        photo = PIL.Image.fromarray(sklearn.datasets.load_sample_images().images[i % 2])
        photo.crop((30 * i, 20 * i, 30 * i + 120, 20 * i + 90)).save(folder / f'{i:02d}.jpg', quality=92)
    return folder


def loader_of(folder, crops, batch_size=7, num_workers=0, handed_over=True):
    """The training's loader, and what its data set handed over."""
    loader = Runner.build_dataloader(dict(
        batch_size=batch_size, num_workers=num_workers, collate_fn=dict(type='default_collate'),
        sampler=dict(type='SlidingWindowSampler', window_size=NUM, window_stride=NUM, seed=1),
        dataset=dict(type='InstanceDataset', data_root=str(folder), pipeline=[
            dict(type='DecodeCropResize', crops=crops), AUGMENT, dict(type='PackInputs')])), seed=1)
    return loader, loader.dataset.hand_over_augmentations() if handed_over else []


def views_of(folder, crops, preprocessor=None, rank=0, world_size=1, **loading):
    """An epoch's views of one rank, one after the other, and ids."""
    preprocessor = preprocessor or InstanceDataPreprocessor(to_rgb=True)
    loader, preprocessor.augmentations = loader_of(folder, crops, **loading)
    loader.sampler.rank, loader.sampler.world_size = rank, world_size
    views, ids = [], []
    for batch in loader:
        given = preprocessor(batch, True)
        views.append(given['inputs'] if isinstance(given['inputs'], list) else [given['inputs']])
        ids += [sample.sample_idx for sample in batch['data_samples']]
    return [torch.cat(parts) for parts in zip(*views)], ids


@pytest.mark.parametrize('crops', CROPS)
@pytest.mark.parametrize('options', [dict(to_rgb=True), dict(to_rgb=False), dict(**COLORS, to_rgb=True)], ids=str)
def test_they_are_those_of_the_pipeline_to_rounding(folder, crops, options):
    on_device, ids = views_of(folder, CROPS[crops], InstanceDataPreprocessor(**options))
    on_host, expected_ids = views_of(folder, CROPS[crops], InstanceDataPreprocessor(**options), handed_over=False)
    assert ids == expected_ids and len(on_device) == len(on_host) == (1 if crops == 'one view' else len(CROPS[crops]))
    level = 1 / 57 if 'std' in options else 1
    for ours, theirs in zip(on_device, on_host):
        assert ours.dtype == torch.float32 and ours.shape == theirs.shape
        difference = (ours - theirs).abs()
        assert difference.mean() < 1.0 * level and difference.max() < 20 * level
    assert not torch.equal(on_device[0], on_host[0])


@pytest.mark.parametrize('crops, handed_over', [*((name, True) for name in CROPS), ('multi-crop', False)])
def test_their_bits_depend_on_neither_batches_nor_workers_nor_ranks(folder, crops, handed_over):
    where = dict(handed_over=handed_over)
    expected, ids = views_of(folder, CROPS[crops], **where)
    for batch_size, num_workers in ((1, 0), (2, 1), (14, 2)):
        given, given_ids = views_of(folder, CROPS[crops], batch_size=batch_size, num_workers=num_workers, **where)
        assert given_ids == ids and all(map(torch.equal, given, expected))
    for rank in (0, 1):
        given, given_ids = views_of(folder, CROPS[crops], batch_size=3, rank=rank, world_size=2, **where)
        assert given_ids == ids[rank::2] and all(torch.equal(a, b[rank::2]) for a, b in zip(given, expected))


def by_torchvision(image, augmentations, parameters):
    """One image, red first, 0..255, changed by torchvision's functions of floats, which take 0..1."""
    image = image / 255
    for augmentation, row in zip(augmentations, parameters):
        name = type(augmentation).__name__
        if name == 'RandomHorizontalFlip' and row[0]:
            image = TF.hflip(image)
        elif name == 'ColorJitter':
            functions = TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue
            for change in map(int, row[4:]):
                image = functions[change](image, row[change]) if change >= 0 else image
        elif name == 'RandomGrayscale' and row[0]:
            image = TF.rgb_to_grayscale(image, 3)
        elif name == 'GaussianBlur' and row[0]:
            image = TF.gaussian_blur(image, 17, row[0])
        elif name == 'RandomAffine':
            image = affine(image, list(row), 'bilinear')
        elif name == 'RandomErasing' and row[2]:
            image = TF.erase(image, *map(int, row), torch.tensor(30 / 255))
    return image * 255


def test_the_whole_chain_is_torchvisions(folder):
    loader, augmentations = loader_of(folder, LARGE)
    preprocessor = InstanceDataPreprocessor(to_rgb=True)
    preprocessor.augmentations, compared = augmentations, 0
    for batch in loader:
        given = preprocessor(batch)['inputs']
        for image, view, sample in zip(batch['inputs'], given, batch['data_samples']):
            values = iter(sample.augmentations[0])
            parameters = [[next(values) for _ in range(augmentation.num_parameters)] for augmentation in augmentations]
            expected = by_torchvision(image.flip(0).float(), augmentations, parameters)
            assert (view - expected).abs().max() < 1e-3
            compared += 1
    assert compared == NUM and gaussian_weights(torch.tensor([2.0]), 8).shape == (1, 17)


def test_nothing_is_changed_of_what_was_given_or_has_nothing_drawn(folder):
    loader, augmentations = loader_of(folder, [LARGE, SMALL])
    preprocessor = InstanceDataPreprocessor(**COLORS, to_rgb=True)
    preprocessor.augmentations = augmentations
    batch = next(iter(loader))
    before = [view.clone() for view in batch['inputs']]
    augmented = preprocessor(batch)['inputs']
    assert all(map(torch.equal, batch['inputs'], before))
    for sample in batch['data_samples']:
        del sample.augmentations
    plain = preprocessor(batch)['inputs']
    expected = InstanceDataPreprocessor(**COLORS, to_rgb=True)(batch)['inputs']
    assert all(map(torch.equal, plain, expected)) and not torch.equal(plain[0], augmented[0])


def test_in_the_precision_of_the_model(folder):
    loader, augmentations = loader_of(folder, LARGE)
    preprocessor = InstanceDataPreprocessor(**COLORS).double()
    preprocessor.augmentations = augmentations
    assert preprocessor(next(iter(loader)))['inputs'].dtype == torch.float64


def test_augmentations_of_another_model(folder):
    loader, _ = loader_of(folder, LARGE)
    with pytest.raises(ValueError, match='the samples have 21 parameters of augmentations for each view, and 0 were'):
        InstanceDataPreprocessor()(next(iter(loader)))


@pytest.mark.parametrize('end', [[AUGMENT], [AUGMENT, dict(type='Resize', scale=8), dict(type='PackInputs')],
                                 [dict(type='MultiView', num_views=2, transforms=[[AUGMENT]]), dict(type='PackInputs')],
                                 [dict(type='PackInputs')]], ids=len)
def test_a_pipeline_that_ends_otherwise_keeps_its_augmentations(folder, end):
    data = InstanceDataset(str(folder), pipeline=[dict(type='LoadImageFromFile'), *end])
    transforms = list(data.pipeline.transforms)
    assert data.hand_over_augmentations() == [] and data.pipeline.transforms == transforms


def test_handed_over_twice(folder):
    loader, augmentations = loader_of(folder, LARGE)
    assert loader.dataset.hand_over_augmentations() is augmentations and len(augmentations) == 6
    assert len(loader.dataset.pipeline.transforms) == 2


def test_an_unreadable_image_has_as_many_parameters_as_the_others(folder, tmp_path):
    for path in sorted(folder.iterdir()):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / '03.jpg'
    path.write_text('hello')
    views, ids = views_of(tmp_path, [LARGE, SMALL], batch_size=NUM)
    expected, _ = views_of(folder, [LARGE, SMALL], batch_size=NUM)
    for given, view in zip(views, expected):
        same = [i for i, index in enumerate(ids) if index != 3]
        assert torch.equal(given[same], view[same]) and given.isfinite().all()
