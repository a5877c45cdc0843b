"""A folder of small pictures, and a training on it."""
import cv2
import numpy as np
import pytest
import torch

import pic_plugin
from pic_plugin.commands import trial

OPTIONS = {'train_dataloader.num_workers': 0, 'train_dataloader.persistent_workers': False}


def write_pictures(folder, count=40):
    """Crosses and circles of 20 pixels, in two folders of names that few expect."""
    generator = np.random.default_rng(0)
    for i in range(count):
        image = generator.integers(0, 40, (20, 20), np.uint8)
        x, y, radius = generator.integers(8, 12), generator.integers(8, 12), generator.integers(4, 8)
        if i % 2:
            cv2.circle(image, (x, y), radius, 255, 2)
        else:
            cv2.line(image, (x - radius, y), (x + radius, y), 255, 2)
            cv2.line(image, (x, y - radius), (x, y + radius), 255, 2)
        path = folder / ('circles, round' if i % 2 else 'кресты') / f'{i:02d}.PNG'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode('.png', image)[1].tobytes())


@pytest.fixture(scope='package', autouse=True)
def short_trials():
    """Of the speed, which no test measures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, '_TIMED', 0.1)
        yield


@pytest.fixture(scope='package')
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'my pictures'
    write_pictures(folder)
    return folder


@pytest.fixture(scope='package')
def trained(short_trials, pictures, tmp_path_factory):
    """Two visits of each picture."""
    return pic_plugin.pretrain(pictures, tmp_path_factory.mktemp('runs') / 'first', visits=2, cpu=True,
                               cfg_options=OPTIONS)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
