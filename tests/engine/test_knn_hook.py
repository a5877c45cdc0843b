from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader

from pic_plugin.engine import KNNHook
from pic_plugin.engine.hooks import knn_hook
from pic_plugin.sharding import Ranks
from tests.ranks import run_ranks
from tests.waits import CountWaits


class Same(torch.nn.Module):
    """The images are the features."""
    data_preprocessor = torch.nn.Identity()

    def forward(self, inputs, mode):
        return inputs


def problem(num_images, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (num_images, ), generator=generator)
    return torch.eye(3)[labels] + 0.5 * torch.randn(num_images, 3, generator=generator), labels


def loader(images, labels):
    data = [(image, DataSample().set_gt_label(label)) for image, label in zip(images, labels)]
    return DataLoader(data, 4, sampler=DefaultSampler(data, shuffle=False), collate_fn=lambda items: {
        'inputs': torch.stack([image for image, _ in items]), 'data_samples': [sample for _, sample in items]})


def hook_with(bank, queries):
    hook = KNNHook({}, {}, num_neighbors=(1, 4))
    hook.ranks, hook.bank, hook.query = Ranks.of_world(), loader(*problem(*bank)), loader(*problem(*queries))
    return hook


def evaluate(rank, world_size, *sizes):
    return hook_with(*sizes).evaluate(Same())


def naive(bank, queries):
    """Percent right, in float64, with k = 1 and 4."""
    (bank, bank_labels), (queries, labels) = problem(*bank), problem(*queries)
    similarity = torch.nn.functional.cosine_similarity(queries[:, None].double(), bank[None].double(), dim=2)
    shares = {}
    for k in 1, 4:
        votes = torch.zeros(len(labels), 3, dtype=torch.float64)
        for i, row in enumerate(similarity):
            for j in row.argsort(descending=True)[:k]:
                votes[i, bank_labels[j]] += torch.exp(row[j] / 0.07)
        shares[f'knn/top1_k{k}'] = 100 * (votes.argmax(1) == labels).double().mean().item()
    return shares


@pytest.mark.parametrize('world_size', [1, 3])
def test_each_image_counts_once_whatever_the_ranks(world_size):
    sizes = (22, 1), (17, 2)  # no multiples of three: samplers repeat some
    for found in run_ranks(evaluate, world_size, *sizes):
        assert found == pytest.approx(naive(*sizes))


def test_waits_do_not_grow_with_the_queries(monkeypatch):
    hook = hook_with((22, 1), (17, 2))
    for chunk in 1, 100:
        monkeypatch.setattr(knn_hook, '_CHUNK', chunk)
        with CountWaits() as waits:
            hook.evaluate(Same())
        assert waits.count == 22 + 17 + 2 + 1  # labels and the loaders' seeds, on the host; the number of classes


def loaders_seed(rank, world_size):
    """The seed by which each rank's loaders share out the images, where the runner's is another on each."""
    seeds = []

    def build_dataloader(config, seed):
        seeds.append(seed)
        return loader(*problem(8, 1))

    KNNHook({}, {}, num_neighbors=(1, )).before_train(SimpleNamespace(seed=5 + rank, build_dataloader=build_dataloader))
    return seeds


def test_ranks_share_images_out_by_one_seed():
    assert run_ranks(loaders_seed, 2) == [[5, 5], [5, 5]]


@pytest.mark.parametrize('changes, message', [
    (dict(num_neighbors=20), 'num_neighbors must be one number or more in brackets, got 20'),
    (dict(num_neighbors=()), r'num_neighbors must be one number or more in brackets, got \(\)'),
    (dict(num_neighbors='20'), "num_neighbors must be a whole number, got '2'"),
    (dict(num_neighbors=(20, 2.5)), 'num_neighbors must be a whole number, got 2.5'),
    (dict(num_neighbors=(20, 0)), 'num_neighbors must be positive, got 0'),
    (dict(temperature=float('nan')), 'temperature must be positive, got nan'),
    (dict(temperature='0.07'), "temperature must be a number, got '0.07'"),
    (dict(interval=0.5), 'interval must be a whole number, got 0.5'), (dict(interval=-1), 'interval must be positive'),
])
def test_wrong_numbers(changes, message):
    with pytest.raises(ValueError, match=message):
        KNNHook({}, {}, **changes)
