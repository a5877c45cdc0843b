"""Compare the features of a trained backbone with the untrained one's and with raw pixels, on images with labels.

Prints a table, and writes it into the folder of the run.
"""
import argparse
from functools import partial
from pathlib import Path

import torch
from mmengine.device import get_device
from mmengine.logging import MMLogger
from torch import Tensor

from pic_plugin.datasets import InstanceDataset
from pic_plugin.datasets.sources import images_from
from pic_plugin.embedding.comparison import FeaturesOf, features_by
from pic_plugin.embedding.images import labels_of
from pic_plugin.evaluation.features import features_of
from pic_plugin.evaluation.probes import Labelled, probe_table
from pic_plugin.model_zoo.network import load_network, untrained


def raw_pixels(batch: dict) -> Tensor:
    """The images themselves: ``[B, C * H * W]``."""
    return batch['inputs'].flatten(1).float()


def labelled(networks: list[FeaturesOf], folder: str, pipeline: list[dict]) -> tuple[list[Tensor], list[str]]:
    """Features by each network, and the images' classes.

    Raises:
        ValueError: if folders are no classes.
    """
    dataset = InstanceDataset(**images_from(folder), pipeline=pipeline)
    if (label := labels_of(dataset)) is None:
        raise ValueError(f'{folder} must have a folder for each class, and several, and has none or other images')
    ids, features = features_by(networks, dataset, range(len(dataset)), get_device())
    return [torch.from_numpy(values) for values in features], [label(i) for i in ids]


def main() -> None:
    """Evaluate, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('run', type=Path, help='the folder of a training')
    parser.add_argument('train', help='a folder with a folder for each class: what nearest neighbours are taken from, '
                                      'and linear classifiers trained on')
    parser.add_argument('test', help='another one')
    args = parser.parse_args()
    MMLogger.get_instance('evaluate_features', log_level='WARNING')  # not each parameter's initialisation
    network = load_network(args.run)
    networks: dict[str, FeaturesOf] = {
        'raw pixels': raw_pixels,
        'untrained network': partial(features_of, untrained(network).to(get_device())),
        'trained by PIC': partial(features_of, network.model.to(get_device()))}
    train, train_labels = labelled(list(networks.values()), args.train, network.pipeline)
    test, test_labels = labelled(list(networks.values()), args.test, network.pipeline)
    if unknown := {*test_labels} - {*train_labels}:
        raise ValueError(f'the classes of {args.test} must be those of {args.train}, and {", ".join(sorted(unknown))} '
                         'are not')
    number = {name: i for i, name in enumerate(sorted({*train_labels}))}
    classes = [torch.tensor([number[name] for name in names]) for names in (train_labels, test_labels)]
    table = probe_table({name: Labelled(train[i], classes[0], test[i], classes[1]) for i, name in enumerate(networks)})
    print(f'\nAccuracy on {len(test_labels)} test images: mean ± spread over 3 seeds of the probe\n')
    print(table)
    (args.run / 'table.md').write_text(table + '\n')
    print(f'{args.run / "table.md"}: the table above')


if __name__ == '__main__':
    main()
