import pytest
import torch

from pic_plugin.evaluation.probes import (
    PROBES,
    Labelled,
    knn_accuracy,
    linear_accuracy,
    one_label_accuracy,
    probe_table,
)


def blobs(spread):
    generator = torch.Generator().manual_seed(0)
    centres = torch.eye(4)[:3] * 5
    labels = torch.arange(150) % 3
    points = centres[labels] + spread * torch.randn(150, 4, generator=generator)
    return Labelled(points[:120], labels[:120], points[120:], labels[120:])


@pytest.mark.parametrize('probe', [knn_accuracy, linear_accuracy, one_label_accuracy])
def test_separable_classes_are_told_apart_and_noise_is_not(probe):
    assert probe(blobs(0.1), 0) == 1
    noise = torch.randn(150, 4, generator=torch.Generator().manual_seed(1))
    assert probe(blobs(0.1)._replace(train=noise[:120], test=noise[120:]), 0) < 0.6


class Elsewhere(torch.Tensor):
    """Has to be copied, as one on a GPU, before numpy can have it."""

    def cpu(self):
        return self.as_subclass(torch.Tensor)

    def numpy(self):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


def test_features_may_be_on_a_device():
    data = blobs(2.0)
    elsewhere = Labelled(*(values.as_subclass(Elsewhere) for values in data))
    assert [probe(elsewhere, 0) for probe in PROBES.values()] == [probe(data, 0) for probe in PROBES.values()]


def test_seeds_draw_other_labels():
    data = blobs(2.0)
    assert one_label_accuracy(data, 0) == one_label_accuracy(data, 0) != one_label_accuracy(data, 1)


def test_table():
    lines = probe_table({'blobs': blobs(0.1)}).splitlines()
    assert lines[0] == '| features | kNN, k=20 | linear probe | one label per class |'
    assert lines[2] == '| blobs | 1.000 ± 0.000 | 1.000 ± 0.000 | 1.000 ± 0.000 |'
