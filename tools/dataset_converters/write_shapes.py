"""Write drawn scenes in the formats of Pascal VOC and Cityscapes: OUT/VOCdevkit/VOC20{07,12} and OUT/cityscapes.

With --unlabelled more of both kinds, for pre-training: OUT/unlabelled/{objects,streets}.  What a thing is shows in its
shape and place; its colour is drawn anew in each scene.
"""
import argparse
import os
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from torchvision.datasets import Cityscapes

VOC_SIZE = 96, 128  # height, width
VOC_CLASSES = ('bird', 'bottle', 'tvmonitor')  # each has its own shape
VOC_SPLITS = {  # year -> image set -> names
    '2007': {'trainval': [f'{i:06d}' for i in range(1, 33)], 'test': [f'{i:06d}' for i in range(33, 81)]},
    '2012': {'trainval': [f'2008_{i:06d}' for i in range(1, 33)]},
}

CITYSCAPES_SIZE = 64, 128
CITYSCAPES_CLASSES = ('sky', 'building', 'road', 'car', 'person', 'ego vehicle')
CITYSCAPES_SPLITS = {'train': ('aachen', 24), 'val': ('lindau', 24)}  # split -> city and number of images


def noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add noise to an image of uint8."""
    return np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8)


# --- Pascal VOC ---

def draw_object(image: np.ndarray, name: str, box: tuple[int, int, int, int], colour: Sequence[int]) -> None:
    """Draw a class's shape so that it fills ``box``: the first and the last column and row, x1, y1, x2, y2."""
    x1, y1, x2, y2 = box
    if name == 'tvmonitor':
        cv2.rectangle(image, (x1, y1), (x2, y2), colour, -1)
    elif name == 'bird':
        cv2.fillPoly(image, [np.array([((x1 + x2) // 2, y1), (x2, y2), (x1, y2)])], colour)
    else:
        cv2.ellipse(image, ((x1 + x2) // 2, (y1 + y2) // 2), ((x2 - x1) // 2, (y2 - y1) // 2), 0, 0, 360, colour, -1)


def annotation(name: str, year: str, objects: list[tuple[str, tuple[int, int, int, int], bool]]) -> ET.ElementTree:
    """VOC's XML: name, box and difficult of each object; its pixels count from 1."""
    root = ET.Element('annotation')
    ET.SubElement(root, 'folder').text = f'VOC{year}'
    ET.SubElement(root, 'filename').text = f'{name}.jpg'
    size = ET.SubElement(root, 'size')
    for key, value in zip(('width', 'height', 'depth'), (*VOC_SIZE[::-1], 3)):
        ET.SubElement(size, key).text = str(value)
    ET.SubElement(root, 'segmented').text = '0'
    for label, box, difficult in objects:
        element = ET.SubElement(root, 'object')
        ET.SubElement(element, 'name').text = label
        ET.SubElement(element, 'pose').text = 'Unspecified'
        ET.SubElement(element, 'truncated').text = '0'
        ET.SubElement(element, 'difficult').text = str(int(difficult))
        corners = ET.SubElement(element, 'bndbox')
        for key, corner in zip(('xmin', 'ymin', 'xmax', 'ymax'), box):
            ET.SubElement(corners, key).text = str(corner + 1)
    return ET.ElementTree(root)


def draw_objects(rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[str, tuple[int, int, int, int], bool]]]:
    """A colourful object in each half of a grey and cloudy image: name, box and difficult of each."""
    height, width = VOC_SIZE
    clouds = cv2.resize(rng.uniform(60, 190, (4, 5)), (width, height), interpolation=cv2.INTER_CUBIC)
    image = np.clip(clouds, 0, 255).astype(np.uint8)[..., None].repeat(3, 2)
    objects: list[tuple[str, tuple[int, int, int, int], bool]] = []
    for left in (0, width // 2):
        # even sides: the ellipse's middle is a pixel
        w, h = 2 * rng.integers(12, 28, 2)
        x1, y1 = left + int(rng.integers(0, width // 2 - w)), int(rng.integers(0, height - h))
        label, box = str(rng.choice(VOC_CLASSES)), (x1, y1, x1 + int(w), y1 + int(h))
        hue = np.array([[[rng.integers(180), rng.integers(200, 256), rng.integers(160, 256)]]], np.uint8)
        draw_object(image, label, box, cv2.cvtColor(hue, cv2.COLOR_HSV2BGR)[0, 0].tolist())
        objects.append((label, box, bool(objects) and rng.random() < 0.1))
    return noisy(image, rng), objects


def write_voc(devkit: Path) -> None:
    """Write VOC2007's trainval and test and VOC2012's trainval."""
    rng = np.random.default_rng(0)
    for year, splits in VOC_SPLITS.items():
        root = devkit / f'VOC{year}'
        for folder in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
            (root / folder).mkdir(parents=True)
        for split, names in splits.items():
            (root / f'ImageSets/Main/{split}.txt').write_text(''.join(f'{name}\n' for name in names))
            for name in names:
                image, objects = draw_objects(rng)
                cv2.imwrite(str(root / f'JPEGImages/{name}.jpg'), image)
                annotation(name, year, objects).write(root / f'Annotations/{name}.xml')


# --- Cityscapes ---

def street(rng: np.random.Generator) -> list[tuple[str, tuple[int, int, int, int]]]:
    """Rectangles, from the back to the front: name and x1, y1, x2, y2."""
    height, width = CITYSCAPES_SIZE
    horizon = int(rng.integers(height // 3, height // 2))
    scene = [('sky', (0, 0, width, horizon)), ('road', (0, horizon, width, height))]
    for left in range(0, width, 32):
        x1, y1 = left + int(rng.integers(0, 12)), int(rng.integers(2, horizon - 4))
        scene.append(('building', (x1, y1, x1 + 20, horizon)))
    for _ in range(2):
        x1, y1 = (int(rng.integers(0, width - 28)), int(rng.integers(horizon - 4, height - 22)))
        scene.append(('car', (x1, y1, x1 + 28, y1 + 14)))
    x1 = int(rng.integers(0, width - 8))
    scene.append(('person', (x1, horizon - 6, x1 + 8, horizon + 14)))
    scene.append(('ego vehicle', (0, height - 4, width, height)))
    return scene


def draw_street(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An image, and the ids of what its pixels show."""
    ids = {entry.name: entry.id for entry in Cityscapes.classes}
    colours = {name: rng.integers(20, 235, 3) for name in CITYSCAPES_CLASSES}
    image, labels = np.zeros((*CITYSCAPES_SIZE, 3), np.uint8), np.zeros(CITYSCAPES_SIZE, np.uint8)
    for name, (x1, y1, x2, y2) in street(rng):
        image[y1:y2, x1:x2], labels[y1:y2, x1:x2] = colours[name], ids[name]
    return noisy(image, rng), labels


def write_cityscapes(root: Path) -> None:
    """Write images, labels by id as they are delivered, and by training id as mmseg's converter makes them."""
    rng = np.random.default_rng(0)
    train_ids = np.full(256, 255, np.uint8)
    for entry in Cityscapes.classes:
        if 0 <= entry.train_id < 255:
            train_ids[entry.id] = entry.train_id
    for split, (city, num_images) in CITYSCAPES_SPLITS.items():
        folders = [root / kind / split / city for kind in ('leftImg8bit', 'gtFine')]
        for folder in folders:
            folder.mkdir(parents=True)
        for i in range(num_images):
            image, labels = draw_street(rng)
            stem = f'{city}_{i:06d}_000019'
            cv2.imwrite(str(folders[0] / f'{stem}_leftImg8bit.png'), image)
            cv2.imwrite(str(folders[1] / f'{stem}_gtFine_labelIds.png'), labels)
            cv2.imwrite(str(folders[1] / f'{stem}_gtFine_labelTrainIds.png'), train_ids[labels])


def write_unlabelled(root: Path, num_scenes: int) -> None:
    """Write ``num_scenes`` of each kind, none of which is among the labelled."""
    rng = np.random.default_rng(1)
    for kind, draw in (('objects', draw_objects), ('streets', draw_street)):
        (root / kind).mkdir(parents=True)
        for i in range(num_scenes):
            cv2.imwrite(str(root / kind / f'{i:06d}.jpg'), draw(rng)[0])


def write_shapes(out: Path, num_unlabelled: int = 0) -> None:
    """Write all, unless ``out`` exists."""
    if out.exists():
        print(f'{out} is there already')
        return
    partial = out.with_name(out.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)
    write_voc(partial / 'VOCdevkit')
    write_cityscapes(partial / 'cityscapes')
    if num_unlabelled:
        write_unlabelled(partial / 'unlabelled', num_unlabelled)
    os.replace(partial, out)
    voc = sum(len(names) for splits in VOC_SPLITS.values() for names in splits.values())
    print(f'wrote {voc} images of VOC and {sum(n for _, n in CITYSCAPES_SPLITS.values())} of Cityscapes to {out}')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path, nargs='?', default=Path('data/shapes'))
    parser.add_argument('--unlabelled', type=int, default=0, metavar='N', help='scenes of each kind, for pre-training')
    args = parser.parse_args()
    write_shapes(args.out, args.unlabelled)
