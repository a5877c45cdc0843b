import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

import pic_plugin.models  # noqa: F401  (registers PIC)
from pic_plugin.evaluation.saliency import accuracy_by_overlap, baselines, saliency_of
from pic_plugin.functional.saliency import overlap, saliency_map


class Network(nn.Module):
    """One convolution, whose map is the backbone's."""

    def __init__(self, seed, stages=tuple):
        super().__init__()
        torch.manual_seed(seed)
        self.convolution, self.dropout, self.stages = nn.Conv2d(1, 4, 3), nn.Dropout(), stages

    def data_preprocessor(self, batch):
        return {'inputs': batch['inputs'].float(), 'data_samples': None}  # they belong to the device from here on

    def backbone(self, inputs):
        return self.stages([inputs, self.dropout(self.convolution(inputs))])


def loader(images, labelled=True):
    def sample(i):
        found = DataSample(metainfo=dict(sample_idx=10 + i))
        return found.set_gt_label(i % 3) if labelled else found
    return [{'inputs': images[part], 'data_samples': [sample(i) for i in range(len(images))[part]]}
            for part in (slice(0, 3), slice(3, 5))]


IMAGES = torch.randint(0, 256, (5, 1, 6, 5), generator=torch.Generator().manual_seed(0))


def test_maps_of_the_last_stage_and_the_first_networks_predictions():
    networks = [Network(0), Network(1).eval()]
    predicted = []

    def predict(stages):
        predicted.append(stages[-1].flatten(1).argmax(1) % 3)
        return predicted[-1]
    found = saliency_of(networks, loader(IMAGES), predict)
    assert [network.training for network in networks] == [True, False]
    for network, maps in zip(networks, found.maps):
        torch.testing.assert_close(maps, saliency_map(network.convolution(IMAGES.float())))
    assert found.sample_ids.tolist() == [10, 11, 12, 13, 14]
    activations = networks[0].convolution(IMAGES.float()).flatten(1)
    assert found.correct.tolist() == (activations.argmax(1) % 3 == torch.arange(5) % 3).tolist()


def test_without_labels():
    found = saliency_of([Network(0)], loader(IMAGES, labelled=False))
    assert found.correct is None and len(found.maps) == 1


@pytest.mark.parametrize('stages, given', [
    (lambda maps: (maps[1].mean((2, 3)), ), r'\[3, 4\]'),
    (lambda maps: ((maps[1], maps[1]), ), 'tuple'),
])
def test_a_backbone_without_a_map(stages, given):
    with pytest.raises(ValueError, match=rf'needs a feature map .* gives {given}; of .*\.out_type=.featmap. gives one'):
        saliency_of([Network(0, stages)], loader(IMAGES))


def test_an_empty_loader():
    with pytest.raises(ValueError, match='must give at least one image to look at'):
        saliency_of([Network(0)], [])


def test_other_images_are_other_images():
    maps = torch.eye(6).reshape(6, 2, 3)  # each looks at a place of its own
    found = baselines(maps, maps)
    assert found['the same of another image'].tolist() == [0] * 6
    assert 0 < float(found['random numbers'].min()) <= float(found['random numbers'].max()) < 0.6
    again = baselines(maps, maps)
    assert all(torch.equal(found[name], again[name]) for name in found)


def test_what_the_images_have_in_common_shows_in_the_baseline():
    maps = saliency_map(torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))).expand(7, 4, 4)
    assert overlap(maps, maps).tolist() == baselines(maps, maps)['the same of another image'].tolist()


def test_accuracy_of_groups():
    overlaps = torch.tensor([0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6])
    correct = torch.tensor([True, False, True, False, True, True, False])
    curve = accuracy_by_overlap(overlaps, correct, 2)  # 0.1, 0.2, 0.3 and 0.6; 0.7, 0.8 and 0.9
    torch.testing.assert_close(curve.overlap, torch.tensor([0.3, 0.8], dtype=torch.float64))
    assert curve.accuracy.tolist() == [0.25, 1]
    assert curve.error.tolist() == pytest.approx([(0.25 * 0.75 / 4)**0.5, 0])


def test_more_groups_than_images():
    assert accuracy_by_overlap(torch.tensor([0.5, 0.4]), torch.tensor([True, False])).accuracy.tolist() == [0, 1]


@pytest.mark.parametrize('backbone, places', [
    (dict(type='SwinTransformer', img_size=32, drop_path_rate=0.0, window_size=2, patch_size=2,
          arch=dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1])), 2),
    (dict(type='VisionTransformer', img_size=32, patch_size=8, out_type='featmap',
          arch=dict(embed_dims=8, num_layers=1, num_heads=1, feedforward_channels=8)), 4),
], ids=lambda backbone: backbone['type'] if isinstance(backbone, dict) else '')
def test_transformers(backbone, places):
    init_default_scope('mmpretrain')
    model = MODELS.build(dict(type='PIC', backbone=backbone, head=dict(type='CosineInstanceHead'),
                              data_preprocessor=dict(type='SelfSupDataPreprocessor', mean=[127.0] * 3, std=[64.0] * 3)))
    images = torch.randint(0, 256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    samples = [DataSample(metainfo=dict(sample_idx=i)) for i in range(2)]
    maps, = saliency_of([model], [{'inputs': images, 'data_samples': samples}]).maps
    assert maps.shape == (2, places, places)
    torch.testing.assert_close(maps.sum((1, 2)), torch.ones(2))
