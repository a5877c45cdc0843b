"""Small data sets in the formats in which the real ones are published, of scikit-learn's digits in colour."""
import json
import pickle
from pathlib import Path

import cv2
import mat4py
import numpy as np
from mmpretrain.datasets.categories import SUN397_CATEGORIES
from sklearn.datasets import load_digits

NUM_TRAIN, NUM_VAL = 200, 100


def digits(size=32):
    """Images ``[M, size, size, 3]`` and labels: the first are for training, the rest for validation."""
    images, labels = load_digits(return_X_y=True)
    images = np.round(images[:NUM_TRAIN + NUM_VAL].reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    large = [cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC) for image in images]
    return np.stack(large)[..., None].repeat(3, -1), labels[:NUM_TRAIN + NUM_VAL].tolist()


def _write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def write_imagenet(folder: Path) -> Path:
    """``{train,val}/n0000000X/n0000000X_N.JPEG``."""
    for i, (image, label) in enumerate(zip(*digits())):
        name = f'n0000000{label}'
        _write(folder / ('train' if i < NUM_TRAIN else 'val') / name / f'{name}_{i}.JPEG', image)
    return folder


def write_inaturalist(folder: Path) -> Path:
    """``{train,val}2018.json`` and ``train_val2018/KINGDOM/CATEGORY/ID.jpg``."""
    images, labels = digits()
    for split, members in (('train', range(NUM_TRAIN)), ('val', range(NUM_TRAIN, NUM_TRAIN + NUM_VAL))):
        content = dict(images=[], annotations=[], categories=[dict(id=i, name=str(i)) for i in range(10)])
        for i in members:
            name = f'train_val2018/Plantae/{labels[i]}/{i:05d}.jpg'
            _write(folder / name, images[i])
            content['images'].append(dict(id=i, file_name=name, width=32, height=32))
            content['annotations'].append(dict(id=i, image_id=i, category_id=labels[i]))
        (folder / f'{split}2018.json').write_text(json.dumps(content))
    return folder


def write_cifar(folder: Path, kind: str) -> Path:
    """The files of ``kind``, 'cifar-10-batches-py' or 'cifar-100-python'."""
    images, labels = digits()
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    parts = np.array_split(np.arange(NUM_TRAIN), 5 if '100' not in kind else 1)
    names = [f'data_batch_{i + 1}' for i in range(5)] if '100' not in kind else ['train']
    key = 'labels' if '100' not in kind else 'fine_labels'
    (folder / kind).mkdir(parents=True)
    for name, part in [*zip(names, parts), ('test_batch' if '100' not in kind else 'test',
                                            np.arange(NUM_TRAIN, NUM_TRAIN + NUM_VAL))]:
        (folder / kind / name).write_bytes(pickle.dumps({'data': rows[part], key: [labels[i] for i in part]}))
    (folder / kind / ('batches.meta' if '100' not in kind else 'meta')).write_bytes(
        pickle.dumps({'label_names': list('0123456789'), 'fine_label_names': list('0123456789')}))
    return folder


def write_sun397(folder: Path) -> Path:
    """``SUN397/LETTER/CATEGORY/sun_N.jpg`` and the lists of the first partition."""
    lines = {'Training_01.txt': [], 'Testing_01.txt': []}
    for i, (image, label) in enumerate(zip(*digits())):
        category = [name for name in SUN397_CATEGORIES if '_' not in name][label]
        name = f'/{category[0]}/{category}/sun_{i}.jpg'
        _write(folder / f'SUN397{name}', image)
        lines['Training_01.txt' if i < NUM_TRAIN else 'Testing_01.txt'].append(name)
    (folder / 'Partitions').mkdir()
    for file, names in lines.items():
        (folder / 'Partitions' / file).write_text('\n'.join(names) + '\n')
    return folder


def write_dtd(folder: Path) -> Path:
    """``images/CATEGORY/CATEGORY_N.jpg`` and ``imdb/imdb.mat``; half of the training images are for validation."""
    images, labels = digits()
    names = [f'c{label}/c{label}_{i:04d}.jpg' for i, label in enumerate(labels)]
    for name, image in zip(names, images):
        _write(folder / 'images' / name, image)
    sets = [1 + i % 2 if i < NUM_TRAIN else 3 for i in range(len(names))]
    (folder / 'imdb').mkdir()
    mat4py.savemat(str(folder / 'imdb/imdb.mat'),
                   dict(images=dict(name=names, **{'class': [label + 1 for label in labels]}, set=sets)))
    return folder
