"""Several networks on the same images."""
from functools import partial

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from pic_plugin.datasets import InstanceDataset
from pic_plugin.embedding.comparison import features_by
from pic_plugin.evaluation.features import features_of, pooled_features
from pic_plugin.model_zoo.network import load_network, untrained
from tests.model_zoo.runs import write_run
from tests.photos import crop, encoded, write


@pytest.fixture(scope='module')
def network(tmp_path_factory):
    return load_network(write_run(tmp_path_factory.mktemp('run')))


def test_each_image_by_itself_gives_the_same(network, tmp_path):
    for i in range(70):  # more than a batch
        write(tmp_path / f'{i:02d}.png', b'no image' if i in (3, 69) else encoded(crop(i, 40, 40), 'PNG'))
    dataset = InstanceDataset(str(tmp_path), pipeline=network.pipeline)
    other = untrained(network)
    ids, found = features_by([partial(features_of, network.model), partial(features_of, other)], dataset,
                             range(2, 70), 'cpu')
    assert ids.tolist() == [2, *range(4, 69)]
    for model, features in zip((network.model, other), found):
        for i in (2, 40, 68):
            image = dataset.pipeline(dataset.get_data_info(i))['inputs'].float().flip(0)[None]
            with torch.no_grad():
                image = (image - model.data_preprocessor.mean) / model.data_preprocessor.std
                expected = pooled_features(model.backbone(image))[0]
            assert_close(torch.from_numpy(features[ids.tolist().index(i)]), expected, rtol=1e-4, atol=1e-5)
    assert not np.allclose(*found)


def test_an_untrained_network_is_that_of_the_seed(network):
    first, again = (untrained(network).backbone.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first['conv1.weight'], network.model.backbone.state_dict()['conv1.weight'])


def test_nothing_can_be_read(network, tmp_path):
    write(tmp_path / '0.png', b'')
    with pytest.raises(ValueError, match='none of 1 images in .* can be read'):
        features_by([], InstanceDataset(str(tmp_path), pipeline=network.pipeline), [0], 'cpu')
