"""Classes between labels and single images: the images of each label, divided into equal clusters (PIC, Appendix F)."""
import os
from pathlib import Path
from typing import Optional

import numpy as np
from mmengine.model import BaseModel
from torch.utils.data import DataLoader

from pic_plugin.progress import Report, reported
from pic_plugin.whole_file import whole_file

from .equal_clusters import equal_clusters
from .features import extract_features


def write_clusters(loader: DataLoader, num_classes: int, model: Optional[BaseModel], out: Path,
                   report: Optional[Report] = None) -> None:
    """Write a file for ``InstanceDataset``'s ``class_of_image``, in which each cluster is a class.

    Args:
        loader: of labelled images, in the order of its data set.
        num_classes: of all labels together, equally many each.
        model: of whose features the clusters are; None where labels themselves are the classes.
        out: the file.
        report: is told how far it is.

    Raises:
        ValueError: if so many classes cannot be, or there is no model for them.
    """
    dataset = loader.dataset
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]  # type: ignore[attr-defined, arg-type]
    labels = np.array([info['gt_label'] for info in infos])
    found, counts = np.unique(labels, return_counts=True)
    per_label, rest = divmod(num_classes, len(found))
    if rest or not 1 <= per_label <= counts.min():
        raise ValueError(f'num_classes must be a multiple of the {len(found)} labels, and at most {counts.min()} times '
                         f'as many, the images of the rarest label, got {num_classes}')
    if model is None and per_label > 1:
        raise ValueError(f'the {per_label} classes of each label are clusters of features, and there is no network')
    features = np.zeros((len(labels), 1), np.float32)
    if model is not None:
        extracted, seen = extract_features(model, loader, report)
        assert np.array_equal(seen.cpu().numpy(), labels)  # the loader keeps the order
        features = extracted.cpu().numpy()
    classes = np.empty_like(labels)
    for i, label in enumerate(reported(found, 'labels divided', report)):
        mine = np.flatnonzero(labels == label)
        classes[mine] = i * per_label + equal_clusters(features[mine], per_label)
    names = [os.path.relpath(info['img_path'], dataset.img_prefix) for info in infos]  # type: ignore[attr-defined]
    with whole_file(out, replace=True) as partial:
        partial.write_bytes(b''.join(b'%s %d\n' % (os.fsencode(name), class_) for name, class_ in zip(names, classes)))
