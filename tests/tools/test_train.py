"""The commands, as a user types them."""
import os
import re
import socket
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
import torchvision
from mmpretrain.models import ResNet

from tests.tiny import ROOT, assert_same

PIC = 'configs/pic/pic_r50_8xb64_200e.py'
DIGITS = 'configs/pic/' + next(path.name for path in (ROOT / 'configs/pic').glob('*digits.py'))


def run(*command, cwd=ROOT, ok=True):
    """Output of a command; its way to the package is the one it finds by itself."""
    environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
    result = subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, check=False)
    assert (result.returncode == 0) == ok, result.stdout[-5000:]
    return result.stdout


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'digits'
    run(sys.executable, 'tools/dataset_converters/write_digits.py', str(folder))
    return folder


def digits_options(folder, max_epochs):
    return ['--cfg-options', f'train_dataloader.dataset.data_root={folder}/train', f'train_cfg.max_epochs={max_epochs}',
            f'custom_hooks.2.bank_dataloader.dataset.data_root={folder}/train', 'custom_hooks.2.interval=1',
            f'custom_hooks.2.query_dataloader.dataset.data_root={folder}/test', 'default_hooks.checkpoint.interval=1',
            'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False']


def test_digits_are_written_once(digits):
    names = sorted(path.relative_to(digits).parts for path in digits.rglob('*.png'))
    assert len(names) == 1797 and sum(name[0] == 'test' for name in names) == 360
    assert {name[1] for name in names} == set('0123456789')
    image = cv2.imread(str(digits.joinpath(*names[0])), cv2.IMREAD_UNCHANGED)
    assert image.shape == (8, 8) and image.dtype == np.uint8 and image.max() == 255
    assert 'is there already' in run(sys.executable, 'tools/dataset_converters/write_digits.py', str(digits))


def test_imagenet_config_on_a_small_folder_of_jpegs(tmp_path):
    for i in range(12):
        path = tmp_path / f'train/n0000000{i % 3}/n0000000{i % 3}_{i}.JPEG'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.random.default_rng(i).integers(0, 256, (48, 64, 3), np.uint8))
    out = run(sys.executable, 'tools/train.py', PIC, '--work-dir', str(tmp_path / 'work'), '--cfg-options',
              f'train_dataloader.dataset.data_root={tmp_path}/train', 'train_dataloader.batch_size=4',
              'train_dataloader.num_workers=1', 'train_dataloader.sampler.window_size=8',
              'train_dataloader.sampler.window_stride=4', 'model.head.num_negatives=8', 'train_cfg.max_epochs=2',
              'train_dataloader.dataset.pipeline.1.scale=32', 'default_hooks.logger.interval=1')
    assert re.search(r'Epoch\(train\) +\[2\]\[3/3\].* eta: .* loss: \d', out)
    backbone = torch.load(tmp_path / 'work/backbone.pth', weights_only=True)
    # as the README shows it: in torchvision's network, and in mmpretrain's
    keys = torchvision.models.resnet50().load_state_dict(backbone, strict=False)
    assert keys.missing_keys == ['fc.weight', 'fc.bias'] and not keys.unexpected_keys
    network = ResNet(depth=50, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'work/backbone.pth')))
    network.init_weights()
    assert_same(dict(network.state_dict()), backbone)


def test_two_ranks_without_a_gpu_then_resumed(digits, tmp_path):
    environment = dict(os.environ, PORT=str(free_port()))
    command = [str(ROOT / 'tools/dist_train.sh'), str(ROOT / DIGITS), '2', '--work-dir', 'work']
    for max_epochs, resume in ((1, []), (2, ['--resume'])):
        # from another folder: the script finds its own way
        result = subprocess.run([*command, *resume, *digits_options(digits, max_epochs)], cwd=tmp_path, env=environment,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert result.returncode == 0, result.stdout[-5000:]
        assert f'Epoch(train) [{max_epochs}]' in result.stdout.replace('(train)  [', '(train) [')
        assert f'Epoch(knn) [{max_epochs}/{max_epochs}]  knn/top1_k20: ' in result.stdout
    assert 'resumed epoch: 1, iter: 6' in result.stdout
    assert 'Epoch(train) [1]' not in result.stdout.replace('(train)  [', '(train) [')
    assert (tmp_path / 'work/backbone.pth').exists()


def test_auto_scale_lr_and_evaluation(digits, tmp_path):
    out = run(sys.executable, 'tools/train.py', DIGITS, '--work-dir', str(tmp_path / 'work'), '--auto-scale-lr',
              *digits_options(digits, 1), 'train_dataloader.batch_size=256')
    assert 'Scaling the original LR by 2.0' in out
    out = run(sys.executable, 'tools/evaluate_features.py', DIGITS, str(tmp_path / 'work'), '--cfg-options',
              f'bank_dataloader.dataset.data_root={digits}/train', f'query_dataloader.dataset.data_root={digits}/test')
    table = (tmp_path / 'work/table.md').read_text()
    assert table in out and table.count('±') == 9
    assert '| raw pixels | 0.967 ± 0.000 |' in table  # scikit-learn's digits, whoever reads them
    assert cv2.imread(str(tmp_path / 'work/curves.png')) is not None


@pytest.mark.skipif(torch.cuda.is_available(), reason='says what is missing where there is no GPU')
def test_amp_without_a_gpu(tmp_path):
    out = run(sys.executable, 'tools/train.py', PIC, '--amp', '--work-dir', str(tmp_path), ok=False)
    assert 'ValueError: --amp needs a GPU, and torch sees none' in out


def test_data_that_are_not_there(tmp_path):
    out = run(sys.executable, 'tools/train.py', PIC, '--work-dir', str(tmp_path), '--cfg-options',
              f'train_dataloader.dataset.data_root={tmp_path}/absent', ok=False)
    assert f'ValueError: there is no {tmp_path}/absent: put the data set there, or set train_dataloader.dataset.' in out


def test_scripts_without_arguments_say_how_they_are_used():
    for script in ('dist_train.sh', 'slurm_train.sh'):
        assert f'tools/{script} ' in run(f'tools/{script}', ok=False)
