"""Make a page to look at what a training has learnt."""
import argparse
import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Optional, Union

if TYPE_CHECKING:  # imported where it is needed: --help is quick
    import numpy as np
    from torch import nn

    from pic_plugin.datasets import InstanceDataset
    from pic_plugin.model_zoo.network import Network
    from pic_plugin.visualization.page import Picture

_NUM_QUERIES, _NUM_NEIGHBOURS = 20, 8
_NUM_POINTS, _FEWEST_POINTS = 1500, 12  # of the map
_NUM_GROUPS, _MOST_OF_GROUP, _NUM_OUTLIERS, _NUM_SALIENCY = 24, 12, 24, 12
_NUM_PROBED = 5000  # images
_DUPLICATE = 0.98  # cosine
_SEED = 0


class Features(NamedTuple):
    """Of the images that could be read."""
    ids: 'np.ndarray'  # [M] int64, of the data set
    before: 'np.ndarray'  # [M, C] float32, of the network with its first weights
    after: 'np.ndarray'  # [M, C] float32


def report(run: Union[str, Path], out: Union[str, Path, None] = None, data: Union[str, Sequence[str], None] = None,
           num_images: int = 20_000) -> Path:
    """Write a page on a training: one HTML file that needs no network.

    Args:
        run: the folder of the training.
        out: the file; ``report.html`` in ``run`` if None.
        data: folders of images to look at; those of the training if None.
        num_images: how many of them are looked at, evenly spread.

    Returns:
        Path: of the file; one that was there is replaced once the new one is complete.

    Raises:
        ValueError: if there is no trained network in ``run``, or there are too few images.
    """
    import numpy as np
    from mmengine.device import get_device
    from mmengine.logging import MMLogger

    from pic_plugin.arguments import check_positive
    from pic_plugin.datasets import InstanceDataset
    from pic_plugin.datasets.sources import images_from
    from pic_plugin.embedding.images import labels_of
    from pic_plugin.evaluation.neighbours import near_duplicates, nearest_neighbours, outliers
    from pic_plugin.model_zoo.network import load_network
    from pic_plugin.progress import quiet_stderr
    from pic_plugin.visualization.page import Neighbours, write_page

    check_positive(int, images=num_images)
    MMLogger.get_instance('report', log_level='WARNING')  # not how each parameter is initialised
    run = Path(run)
    network = load_network(run)
    trained_on = network.config.train_dataloader.dataset
    images = {key: value for key, value in trained_on.items() if key not in ('type', 'pipeline')}
    dataset = InstanceDataset(**(images if data is None else images_from(data)), pipeline=network.pipeline)
    features = _features(network, dataset, num_images)
    ids, pictures, label = features.ids, _Pictures(dataset), labels_of(dataset)

    def mark(query: int, other: int) -> str:
        return '' if label is None else 'same' if label(query) == label(other) else 'other'

    before, after = (nearest_neighbours(values, min(_NUM_NEIGHBOURS, len(ids) - 1), get_device())
                     for values in (features.before, features.after))
    generator = np.random.default_rng(_SEED)
    queries = np.sort(generator.permutation(len(ids))[:_NUM_QUERIES])
    groups = near_duplicates(after, _DUPLICATE)[:_NUM_GROUPS]
    out = Path(run / 'report.html' if out is None else out)
    with quiet_stderr():  # decoders write there, without a name
        rows = [Neighbours(pictures(ids[i], 80), *([pictures(ids[j], 52, mark(ids[i], ids[j])) for j in nearest.ids[i]]
                                                   for nearest in (before, after))) for i in queries]
        write_page(out, dict(
            title=run.resolve().name,
            summary=f'What pre-training has learnt, shown by {len(dataset):,} images'
                    f'{"" if data is None else ", which were named for this page"}.',
            facts=_facts(run, network, dataset, len(ids)),
            curves=_curves(run),
            accuracies=_accuracies(features, label),
            has_classes=label is not None,
            neighbours=rows,
            points=_map(features, pictures, generator),
            duplicates=[[pictures(ids[i], 68) for i in group[:_MOST_OF_GROUP]] for group in groups],
            threshold=_DUPLICATE,
            outliers=[pictures(ids[i], 68) for i in outliers(after, _NUM_OUTLIERS)],
            saliency=_saliency(network, dataset, ids[queries[:_NUM_SALIENCY]]),
            config=(run / 'config.py').read_text() if (run / 'config.py').is_file() else network.config.pretty_text))
    return out


class _Pictures:
    """Small pictures of a data set's images."""

    def __init__(self, dataset: 'InstanceDataset') -> None:
        self._dataset = dataset
        self._load = dataset.pipeline.transforms[0]

    def __call__(self, index: int, side: int, mark: str = '') -> 'Picture':
        from pic_plugin.visualization.page import picture
        info = self._dataset.get_data_info(int(index))
        return picture(info['img_path'], self._load(info)['img'], side, mark)


def _features(network: 'Network', dataset: 'InstanceDataset', num_images: int) -> Features:
    """Of at most ``num_images``, evenly spread, those that can be read."""
    from functools import partial

    import numpy as np
    from mmengine.device import get_device

    from pic_plugin.embedding.comparison import features_by
    from pic_plugin.evaluation.features import features_of
    from pic_plugin.model_zoo.network import untrained

    chosen = np.unique(np.linspace(0, len(dataset) - 1, num_images).astype(int)).tolist()
    networks = [partial(features_of, model.to(get_device())) for model in (untrained(network), network.model)]
    ids, (before, after) = features_by(networks, dataset, chosen, get_device())
    if len(ids) < 2:
        raise ValueError(f'there must be two images at least that can be read, got {len(ids)} of {len(chosen)}')
    if not np.isfinite(after).all():
        raise ValueError(f'{network.weights} gives features that are not finite: training has diverged, and there is '
                         'nothing to show; train with a smaller learning rate')
    return Features(ids, before, after)


def _facts(run: Path, network: 'Network', dataset: 'InstanceDataset', looked_at: int) -> list[tuple[str, str]]:
    """Data and training, in numbers."""
    from pic_plugin.datasets.image_files import printable
    from pic_plugin.model_zoo.training import training_summary
    facts = [('images', f'{len(dataset):,} in {printable(", ".join(dataset.folders))}'),
             ('looked at here', f'{looked_at:,}'),
             ('network', type(network.model.backbone).__name__ + f', {_millions(network.model)} million parameters')]
    if (done := training_summary(run)) is not None:
        visits = 'visit' if done['epochs'] == 1 else 'visits'
        length = f'{done["epochs"]} {visits} of each image, ' if done['epochs'] else ''
        facts += [('training', f'{length}{done["iterations"]:,} iterations, {done["hours"]:g} hours'),
                  ('loss', f'{done["first_loss"]:.3f} at first, {done["last_loss"]:.3f} at last')]
    return facts


def _millions(model: 'nn.Module') -> str:
    return f'{sum(parameter.numel() for parameter in model.parameters()) / 1e6:.2f}'


def _curves(run: Path) -> Optional[str]:
    """The picture of the log, None without one."""
    from pic_plugin.visualization.curves import plot_curves
    try:
        plot_curves(run, run / 'curves.png')
    except ValueError:
        return None
    return base64.b64encode((run / 'curves.png').read_bytes()).decode()


def _accuracies(features: Features, label: Optional[Callable[[int], str]]) -> list[tuple[str, dict[str, str]]]:
    """By nearest neighbours and by a linear probe, of a fifth of the images, where folders are classes."""
    import numpy as np
    import torch

    from pic_plugin.evaluation.probes import Labelled, knn_accuracy, linear_accuracy
    if label is None:
        return []
    order = np.random.default_rng(_SEED).permutation(len(features.ids))[:_NUM_PROBED]
    _, classes = np.unique([label(index) for index in features.ids], return_inverse=True)
    test, train = np.split(order, [len(order) // 5])
    if len(test) == 0 or len(np.unique(classes[train])) < 2:
        return []
    table = []
    for name, values in (('before training', features.before), ('after training', features.after)):
        data = Labelled(*(torch.from_numpy(values[ids]) if of_features else torch.from_numpy(classes[ids])
                          for ids in (train, test) for of_features in (True, False)))
        table.append((name, {
            'nearest neighbours': f'{100 * knn_accuracy(data, _SEED, k=min(20, len(train))):.1f} %',
            'linear probe': f'{100 * linear_accuracy(data, _SEED):.1f} %'}))
    return table


def _map(features: Features, pictures: _Pictures, generator: 'np.random.Generator') -> list[tuple]:
    """(x, y, picture), x and y in percent, of a sample."""
    import numpy as np
    from sklearn.manifold import TSNE
    chosen = np.sort(generator.permutation(len(features.ids))[:_NUM_POINTS])
    if len(chosen) < _FEWEST_POINTS:
        return []
    places = TSNE(metric='cosine', init='pca', perplexity=min(30, len(chosen) // 4),
                  random_state=_SEED).fit_transform(features.after[chosen])
    low, high = places.min(0), places.max(0)
    places = (2 + 96 * (places - low) / np.maximum(high - low, 1e-6)).round(2)
    return [(x, y, pictures(features.ids[i], 40)) for (x, y), i in zip(places.tolist(), chosen)]


def _saliency(network: 'Network', dataset: 'InstanceDataset', ids: 'np.ndarray') -> list[tuple]:
    """(what the network sees, the same under its saliency map); nothing for a network without maps."""
    import cv2
    import numpy as np
    import torch
    from mmengine.device import get_device

    from pic_plugin.embedding.images import evaluated_batches
    from pic_plugin.evaluation.saliency import look_at
    from pic_plugin.visualization.page import picture
    batch = next(evaluated_batches(dataset, [ids.tolist()], 0, get_device()))
    if batch.data is None:  # they were read before, and are gone
        return []
    try:
        with torch.inference_mode():
            _, maps = look_at(network.model, batch.data)
    except ValueError:
        return []
    pairs = []
    for index, inputs, places in zip(batch.images, batch.data['inputs'], maps.cpu().numpy()):
        image = inputs.permute(1, 2, 0).expand(-1, -1, 3).numpy().astype(np.uint8)
        heat = cv2.resize((255 * places / places.max()).astype(np.uint8), image.shape[1::-1],
                          interpolation=cv2.INTER_LINEAR)
        heated = cv2.addWeighted(image, 0.4, cv2.applyColorMap(heat, cv2.COLORMAP_INFERNO), 0.6, 0)
        name = dataset.get_data_info(index)['img_path']
        pairs.append(tuple(picture(name, shown, 96) for shown in (image, heated)))
    return pairs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of the command line."""
    parser.add_argument('run', help='the folder of a training')
    parser.add_argument('--out', help='the page; by default report.html in RUN')
    parser.add_argument('--data', nargs='+', help='other images to look at')
    parser.add_argument('--images', type=int, default=20_000, help='how many are looked at')


def run(args: argparse.Namespace) -> None:
    """Write the page."""
    print(f'{report(args.run, args.out, args.data, args.images)}: open it in a browser')
