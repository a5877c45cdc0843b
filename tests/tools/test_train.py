"""The commands, as a user types them."""
import os
import re
import socket
import subprocess
import sys
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import torch
import torchvision
from mmengine.config import Config
from mmpretrain.models import ResNet

from pic_plugin.engine import AmpWeightCorrectingOptimWrapper, WeightCorrectingOptimWrapper
from pic_plugin.sharding import Ranks
from tests.ranks import run_ranks
from tests.tiny import ROOT, assert_same
from tests.tools.scripts import run_tool

sys.path.insert(0, str(ROOT / 'tools'))
import train

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
              'train_dataloader.dataset.pipeline.0.crops.size=32', 'default_hooks.logger.interval=1')
    assert re.search(r'Epoch\(train\) +\[2\]\[3/3\].* eta: .* loss: \d', out)
    backbone = torch.load(tmp_path / 'work/backbone.pth', weights_only=True)
    # as the README shows it: in torchvision's network, and in mmpretrain's
    keys = torchvision.models.resnet50().load_state_dict(backbone, strict=False)
    assert keys.missing_keys == ['fc.weight', 'fc.bias'] and not keys.unexpected_keys
    network = ResNet(depth=50, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'work/backbone.pth')))
    network.init_weights()
    assert_same(dict(network.state_dict()), backbone)


def test_a_screen_of_lines_before_the_first_of_training(digits, tmp_path):
    command = [sys.executable, 'tools/train.py', DIGITS, '--cpu']
    options = [*digits_options(digits, 1), f'train_dataloader.dataset.data_root={digits}/test',
               'train_dataloader.sampler.window_size=256']
    out = run(*command, '--work-dir', str(tmp_path / 'quiet'), *options)
    start = out[:out.index('Epoch(train)')].splitlines()
    assert len(start) <= 30, out
    for text in ('data: 360 images', 'model: PIC', 'length: 1 epochs', 'optimizer: SGD', 'device: CPU', 'results: '):
        assert any(text in line for line in start), text
    log, = (tmp_path / 'quiet').glob('*/*.log')
    assert 'System environment' in log.read_text() and len(log.read_text().splitlines()) > 300
    verbose = run(*command, '--verbose', '--work-dir', str(tmp_path / 'verbose'), *options)
    assert 'System environment' in verbose and 'Hooks will be executed' in verbose
    assert cv2.imread(str(tmp_path / 'quiet/curves.png')) is not None


def test_two_ranks_without_a_gpu_then_resumed(digits, tmp_path):
    environment = dict(os.environ, PORT=str(free_port()))
    command = [str(ROOT / 'tools/dist_train.sh'), str(ROOT / DIGITS), '2', '--cpu', '--work-dir', 'work']
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
    out = run(sys.executable, 'tools/evaluate_features.py', str(tmp_path / 'work'), f'{digits}/train', f'{digits}/test')
    table = (tmp_path / 'work/table.md').read_text()
    assert table in out and table.count('±') == 9
    assert '| raw pixels | 0.967 ± 0.000 |' in table  # scikit-learn's digits, whoever reads them
    for bank, query, message in [
        ('train/0', 'test', 'train/0 must have a folder for each class'),
        ('train', '', 'the classes of .* must be those of .*, and test, train are not'),
    ]:
        with pytest.raises(ValueError, match=message):
            run_tool('evaluate_features.py', tmp_path / 'work', digits / bank, digits / query)


def arguments(monkeypatch, *options):
    monkeypatch.setattr(sys, 'argv', ['train.py', 'config', *options])
    monkeypatch.setenv('LOCAL_RANK', '0')
    return train.parse_args()


@pytest.fixture
def driver(monkeypatch, tmp_path):
    """Puts in place what the kernel says of its driver; without a text, there is none."""
    monkeypatch.setattr(train, '_DRIVER', tmp_path / 'version')
    monkeypatch.setattr(train.shutil, 'which', lambda name: None)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES')
    return (tmp_path / 'version').write_text


OLD = 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version: 12.3.0\n'
OPEN = 'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65  Release Build  (u@v)\nGCC version: 12.3.0\n'


@pytest.mark.parametrize('text, version', [(OLD, '535.104.05'), (OPEN, '580.65'), ('', 'unknown')])
def test_driver(driver, monkeypatch, text, version):
    assert train.nvidia_driver() is None
    monkeypatch.setattr(train.shutil, 'which', lambda name: f'/usr/bin/{name}')
    assert train.nvidia_driver() == 'unknown (see nvidia-smi)'
    driver(text)
    assert train.nvidia_driver() == version


def test_the_cpu_is_taken_where_there_is_nothing_else(driver, monkeypatch, capsys):
    assert train.fault_of(arguments(monkeypatch)) is None
    assert capsys.readouterr().out == 'torch sees no GPU: training on the CPU\n'


def test_a_driver_that_torch_cannot_use(driver, monkeypatch):
    driver(OLD)

    def init():
        raise RuntimeError('The NVIDIA driver on your system is too old (found version 12020).\nException raised from')

    monkeypatch.setattr(torch.cuda, 'init', init)
    fault = train.fault_of(arguments(monkeypatch))
    assert 'torch sees no GPU: The NVIDIA driver on your system is too old (found version 12020).  torch ' in fault
    assert f'torch {torch.__version__} is built for CUDA {torch.version.cuda}; NVIDIA driver: 535.104.05; ' in fault
    assert 'CUDA_VISIBLE_DEVICES: not set.  CUDA 13 needs a driver of the 580 series' in fault
    assert fault.endswith('to train on the CPU, add --cpu')
    for hidden in ('', '-1'):  # as mmengine documents it
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', hidden)
        assert train.fault_of(arguments(monkeypatch)) is None
        # a scheduler hides them, too
        assert train.fault_of(arguments(monkeypatch, '--launcher', 'slurm')).startswith('torch sees no GPU')
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
    assert train.fault_of(arguments(monkeypatch)) is not None
    assert train.fault_of(arguments(monkeypatch, '--cpu')) is None


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_several_processes_want_gpus(driver, monkeypatch, launcher):
    fault = train.fault_of(arguments(monkeypatch, '--launcher', launcher))
    assert fault.startswith('torch sees no GPU: ') and 'NVIDIA driver: none found' in fault
    fault = train.fault_of(arguments(monkeypatch, '--launcher', launcher, '--cpu'))
    assert fault == (None if launcher == 'pytorch' else
                     f'--cpu wants --launcher none or pytorch (tools/dist_train.sh), got {launcher}')
    monkeypatch.setattr(train, 'get_device', lambda: 'cuda')
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 4)
    monkeypatch.setenv(train._PROCESSES[launcher], '4')
    assert train.fault_of(arguments(monkeypatch, '--launcher', launcher)) is None
    monkeypatch.setenv(train._PROCESSES[launcher], '8')
    fault = train.fault_of(arguments(monkeypatch, '--launcher', launcher))
    assert 'this machine has 8 processes and 4 GPUs (CUDA_VISIBLE_DEVICES: not set): start fewer' in fault


@pytest.mark.parametrize('launcher, variable', [
    ('pytorch', 'WORLD_SIZE'), ('slurm', 'SLURM_STEP_NUM_TASKS'), ('mpi', 'OMPI_COMM_WORLD_SIZE')])
@pytest.mark.parametrize('options', [[], ['--cpu']])
def test_several_processes_are_not_several_runs(driver, monkeypatch, launcher, variable, options):
    monkeypatch.setenv(variable, '1')
    assert train.fault_of(arguments(monkeypatch, *options)) is None
    monkeypatch.setenv(variable, '2')
    fault = train.fault_of(arguments(monkeypatch, *options))
    assert fault.startswith(f'{variable} is 2, so this is one of several processes')
    assert f'add --launcher {launcher} to train together' in fault


def test_no_rank_starts_without_a_gpu_unless_it_is_told_to(tmp_path):
    result = subprocess.run(['tools/dist_train.sh', DIGITS, '2', '--work-dir', str(tmp_path)], cwd=ROOT, text=True,
                            env=dict(os.environ, PORT=str(free_port())), stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, check=False)
    # one that has stopped may be the reason why the other is ended before it says so itself
    assert result.returncode != 0 and 'ValueError: torch sees no GPU: ' in result.stdout
    assert not list(tmp_path.iterdir())


def start_with(rank, world_size, port, faults):
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    try:
        kept = train.stop_together(faults[rank])
    except ValueError as error:
        kept = error
    torch.distributed.barrier()  # rank 0 serves the other one as long as it keeps the store
    return str(kept) if isinstance(kept, ValueError) else 'started'


@pytest.mark.parametrize('faults', [(None, None), (None, 'no GPU here'), ('no GPU here', 'no driver here')])
def test_one_machine_of_several_stops_all(faults):
    messages = run_ranks(start_with, 2, free_port(), faults)
    if not any(faults):
        assert messages == ['started'] * 2
    for message, fault in zip(messages, faults):
        if fault:
            assert message == fault
        elif any(faults):
            assert re.fullmatch('.+, rank 1: no GPU here', message)


def test_amp_without_a_gpu(tmp_path):
    out = run(sys.executable, 'tools/train.py', PIC, '--amp', '--work-dir', str(tmp_path), ok=False)
    assert 'ValueError: --amp needs a GPU, and torch sees none' in out


@pytest.mark.parametrize('path', [PIC, 'configs/benchmarks/linear/linear_r50_8xb32_100e_in1k.py',
                                  'configs/segmentation/fcn_r50-d16_60k_cityscapes-769x769.py',
                                  'configs/detection/faster-rcnn_r50-c4_24k_voc0712.py'])
@pytest.mark.parametrize('options, capability, expected', [
    ([], (9, 0), 'bfloat16'), ([], (7, 5), 'float16'), (['fp16'], (9, 0), 'float16'), (['bf16'], (7, 5), 'bfloat16')])
def test_amp(monkeypatch, path, options, capability, expected):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda: capability)
    cfg = Config.fromfile(ROOT / path)
    if not options and cfg.default_scope == 'mmdet':
        expected = 'float16'
    own = cfg.optim_wrapper.type
    wrapper = train.merge_args(cfg, arguments(monkeypatch, '--amp', *options)).optim_wrapper
    assert (wrapper.type, wrapper.dtype) == ('Amp' + own, expected)
    assert wrapper.loss_scale == (dict(enabled=False) if expected == 'bfloat16' else 'dynamic')


@pytest.mark.parametrize('settings, message', [
    (None, 'auto-scale-lr needs auto_scale_lr=dict.* in config, and got None; add it, or --cfg-options auto_'),
    ({}, 'base_batch_size must be a whole number, got None'),
    (dict(base_batch_size=256.0), 'base_batch_size must be a whole number, got 256.0'),
    (dict(base_batch_size=0), 'base_batch_size must be positive, got 0')])
def test_auto_scale_lr_without_its_key(monkeypatch, settings, message):
    with pytest.raises(ValueError, match=message):
        train.merge_args(Config(dict(auto_scale_lr=settings)), arguments(monkeypatch, '--auto-scale-lr'))
    cfg = train.merge_args(Config(), arguments(monkeypatch, '--auto-scale-lr', '--cfg-options',
                                               'auto_scale_lr.base_batch_size=256'))
    assert cfg.auto_scale_lr == dict(base_batch_size=256, enable=True)


def steps_of(wrapper_type, **settings):
    torch.manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(3, 2)) for _ in range(2)]
    wrapper = wrapper_type(optimizer=torch.optim.SGD(params, lr=0.1, momentum=0.9, fused=True), **settings)
    wrapper.track_rows(params[1], Ranks.of_world())
    for _ in range(3):
        wrapper.update_params(sum((p**2).sum() for p in params))
    wrapper.load_state_dict(wrapper.state_dict())
    return [p.detach() for p in params], len(wrapper.step_log)


def steps_with_nothing_to_scale(rank, world_size, clip_grad):
    plain = steps_of(WeightCorrectingOptimWrapper, clip_grad=clip_grad)
    with patch('mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available', return_value=True):
        return plain, steps_of(AmpWeightCorrectingOptimWrapper, clip_grad=clip_grad, dtype='bfloat16',
                               loss_scale=dict(enabled=False))


@pytest.mark.parametrize('clip_grad', [None, dict(max_norm=0.1)])
@pytest.mark.parametrize('world_size', [1, 2])
def test_what_bf16_sets_makes_every_step(world_size, clip_grad):
    for (plain, plain_steps), (params, steps) in run_ranks(steps_with_nothing_to_scale, world_size, clip_grad):
        assert steps == plain_steps == 3
        assert all(torch.equal(a, b) for a, b in zip(params, plain))


def test_an_unknown_kind_of_amp(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        arguments(monkeypatch, '--amp', 'int8')
    assert "invalid choice: 'int8'" in capsys.readouterr().err


def test_data_that_are_not_there(tmp_path):
    out = run(sys.executable, 'tools/train.py', PIC, '--work-dir', str(tmp_path), '--cfg-options',
              f'train_dataloader.dataset.data_root={tmp_path}/absent', ok=False)
    assert f'ValueError: there is no {tmp_path}/absent: put the data set there, or set train_dataloader.dataset.' in out


def test_scripts_without_arguments_say_how_they_are_used():
    for script in ('dist_train.sh', 'slurm_train.sh'):
        assert f'tools/{script} ' in run(f'tools/{script}', ok=False)
