"""Probes of features with little or no training: neighbours, a linear classifier, one label per class."""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from .knn import knn_classes

_NUM_DRAWS = 100  # of labelled images, per seed: one draw says more about its images than about the features


class Labelled(NamedTuple):
    """Features of a training and a test set."""
    train: Tensor  # [M, C]
    train_labels: Tensor  # [M] int64
    test: Tensor  # [Q, C]
    test_labels: Tensor  # [Q] int64


def knn_accuracy(data: Labelled, seed: int, k: int = 20, temperature: float = 0.07) -> float:
    """Share of test images whose k nearest training images vote for the right class; the seed plays no part."""
    del seed
    return _share(knn_classes(data.test, data.train, data.train_labels, k, temperature) == data.test_labels)


def linear_accuracy(data: Labelled, seed: int) -> float:
    """Logistic regression on standardised features, by a stochastic solver that the seed orders."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(solver='saga', tol=1e-2, max_iter=200,
                                                               random_state=seed))
    train, train_labels, test, test_labels = (values.cpu().numpy() for values in data)
    probe.fit(train, train_labels)
    return float(probe.score(test, test_labels))


def one_label_accuracy(data: Labelled, seed: int) -> float:
    """Nearest of one labelled image per class, by cosine; the mean over 100 draws of the labelled images."""
    generator = np.random.default_rng(seed)
    test, train = F.normalize(data.test, dim=1), F.normalize(data.train, dim=1)
    members = [torch.nonzero(data.train_labels == label)[:, 0] for label in range(1 + int(data.train_labels.max()))]
    shares = []
    for _ in range(_NUM_DRAWS):
        labelled = torch.stack([ids[int(generator.integers(len(ids)))] for ids in members])
        shares.append(_share((test @ train[labelled].T).argmax(1) == data.test_labels))
    return float(np.mean(shares))


PROBES = {'kNN, k=20': knn_accuracy, 'linear probe': linear_accuracy, 'one label per class': one_label_accuracy}


def probe_table(features: dict[str, Labelled], seeds: Sequence[int] = (0, 1, 2)) -> str:
    """A Markdown table: a row for each kind of features, the probes' accuracies as mean and spread over ``seeds``."""
    lines = ['| features | ' + ' | '.join(PROBES) + ' |', '|---|' + '---|' * len(PROBES)]
    for name, data in features.items():
        cells = []
        for probe in PROBES.values():
            accuracy = [probe(data, seed) for seed in seeds]
            cells.append(f'{np.mean(accuracy):.3f} ± {np.std(accuracy):.3f}')
        lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def _share(correct: Tensor) -> float:
    return float(correct.double().mean())
