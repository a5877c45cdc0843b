"""Write scikit-learn's handwritten digits as PNG files: OUT/{train,test}/<label>/<number>.png."""
import argparse
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def write_digits(out: Path) -> None:
    """Write the 1,797 images of 8 x 8 pixels, four of five of each label into ``train``, unless ``out`` exists."""
    if out.exists():
        print(f'{out} is there already')
        return
    images, labels = load_digits(return_X_y=True)
    images = np.round(images.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    numbers = np.arange(len(images))
    train, test = train_test_split(numbers, test_size=0.2, stratify=labels, random_state=0)
    partial = out.with_name(out.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)
    for split, members in (('train', train), ('test', test)):
        for number in members:
            path = partial / split / str(labels[number]) / f'{number:04d}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), images[number])
    os.replace(partial, out)
    print(f'wrote {len(train)} training and {len(test)} test images to {out}')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', type=Path, nargs='?', default=Path('data/digits'))
    write_digits(parser.parse_args().out)
