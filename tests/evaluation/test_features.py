from unittest.mock import patch

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

import pic_plugin.models  # noqa: F401  (registers PIC)
from pic_plugin import progress
from pic_plugin.evaluation.features import extract_features
from tests.tiny import write_images
from tests.waits import CountWaits


def test_last_stage_averaged_over_places_in_eval_mode(tmp_path):
    init_default_scope('mmpretrain')
    load = dict(type='LoadImageFromFile', color_type='grayscale')
    loader = Runner.build_dataloader(dict(
        batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
        dataset=dict(type='CustomDataset', data_root=str(write_images(tmp_path, 10, size=16)),
                     pipeline=[load, dict(type='PackInputs')])))
    model = MODELS.build(dict(
        type='PIC', head=dict(type='CosineInstanceHead'),
        backbone=dict(type='ResNet_CIFAR', depth=18, in_channels=1, stem_channels=4, base_channels=4)))
    reports = []
    with patch.object(progress, '_REPORT_EVERY', -1.0):
        features, labels = extract_features(model, loader, reports.append)
    assert [report.split(', eta ')[0] for report in reports] == [f'batches of features: {i}/3' for i in (1, 2)]
    assert model.training
    assert labels.tolist() == [0] * 5 + [1] * 5
    model.eval()
    for i in range(10):
        image = loader.dataset[i]['inputs'][None].float()
        expected = model.backbone(image)[-1].mean((2, 3))[0]
        torch.testing.assert_close(features[i], expected, rtol=1e-4, atol=1e-5)


class Preprocessor:
    """From here on the samples belong to the device."""

    def __call__(self, batch):
        return {'inputs': batch['inputs'], 'data_samples': None}


class Flat(torch.nn.Module):
    """Gives a vector for each image."""
    data_preprocessor = Preprocessor()

    def forward(self, inputs, mode):
        return inputs.flatten(1).double()


class Loader(list):
    """Batches, of which there might be more."""
    sampler = range(7)


def test_labels_are_read_before_the_device_has_them_and_no_batch_is_waited_for():
    images = torch.randint(0, 256, (5, 1, 2, 2), generator=torch.Generator().manual_seed(0))
    samples = [DataSample().set_gt_label(i) for i in range(5)]
    loader = Loader({'inputs': images[part], 'data_samples': samples[part]} for part in (slice(0, 3), slice(3, 5)))
    with CountWaits() as waits:
        features, labels = extract_features(Flat(), loader)
    assert waits.count == 5  # labels, on the host
    assert features.dtype == torch.float32 and torch.equal(features, images.flatten(1).float())
    assert labels.tolist() == list(range(5))


def test_an_empty_loader():
    with pytest.raises(ValueError, match='must give at least one image to extract features of'):
        extract_features(Flat(), Loader())
