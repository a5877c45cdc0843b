"""Each protocol of mmpretrain, through its runner and evaluator, on small data in the real format."""
import hashlib
from statistics import mean

import mmpretrain.datasets
import pytest
import torch
from mmengine.config import Config

from pic_plugin.datasets import check_data
from tests.downstream.data import (
    NUM_TRAIN,
    NUM_VAL,
    write_cifar,
    write_dtd,
    write_imagenet,
    write_inaturalist,
    write_sun397,
)
from tests.downstream.runs import config_path, run, save_backbone

LINEAR = 'linear_r50_8xb32_100e_in1k'
INAT = 'finetune_r50_8xb32_100e_inat2018'
CIFAR10 = 'finetune_r50_8xb32_20k_cifar10'


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    return write_imagenet(tmp_path_factory.mktemp('imagenet'))


def imagenet_options(folder, max_epochs, subset=False):
    # learning rates of large networks are too high for small ones
    classes = dict(classes=[f'n0000000{i}' for i in range(10)])
    train = 'train_dataloader.dataset.dataset' if subset else 'train_dataloader.dataset'
    return {'train_cfg': dict(max_epochs=max_epochs, val_interval=max_epochs), 'param_scheduler.0.end': max_epochs,
            'model.head.num_classes': 10, 'optim_wrapper.optimizer.lr': 0.5,
            **{f'{dataset}.{key}': value for dataset in (train, 'val_dataloader.dataset')
               for key, value in (('data_root', str(folder)), ('metainfo', classes))}}


@pytest.fixture(scope='module')
def checkpoint(imagenet, tmp_path_factory):
    """A backbone that knows digits, by the cosine classifier; pre-training proper takes longer than a test may."""
    folder = tmp_path_factory.mktemp('checkpoint')
    inat = write_inaturalist(folder / 'inat')
    runner, losses, metrics = run(INAT, folder / 'work', **inat_options(inat, 15, 0.003))
    assert mean(losses[-5:]) < 0.7 * mean(losses[:5])
    assert metrics['accuracy/top1'] > 50
    return save_backbone(runner, folder / 'backbone.pth')


def inat_options(folder, max_epochs, lr):
    return {'train_cfg': dict(max_epochs=max_epochs, val_interval=max_epochs), 'param_scheduler.0.end': max_epochs,
            'optim_wrapper.optimizer.lr': lr, 'model.head.num_classes': 10,
            'train_dataloader.dataset.data_root': str(folder), 'val_dataloader.dataset.data_root': str(folder)}


def test_linear(imagenet, checkpoint, tmp_path):
    options = imagenet_options(imagenet, 5)
    runner, losses, metrics = run(LINEAR, tmp_path / 'trained', checkpoint, **options)
    assert len(losses) == 5 * NUM_TRAIN / 40
    assert mean(losses[-5:]) < 0.7 * mean(losses[:5])
    # the backbone stayed as it was, its BatchNorm statistics too
    for name, tensor in torch.load(checkpoint, weights_only=True).items():
        assert torch.equal(runner.model.backbone.state_dict()[name], tensor), name
    # the evaluator's figure is the share of images that the model gets right
    right = 0
    runner.model.eval()
    with torch.no_grad():
        for batch in runner.val_dataloader:
            right += sum(int(s.pred_label == s.gt_label) for s in runner.model.val_step(batch))
    assert metrics['accuracy/top1'] == pytest.approx(100 * right / NUM_VAL)
    _, _, untrained = run(LINEAR, tmp_path / 'random', **options)
    assert metrics['accuracy/top1'] > untrained['accuracy/top1'] + 10


def test_semi_supervised(imagenet, checkpoint, tmp_path):
    options = imagenet_options(imagenet, 8, subset=True)
    name = 'semi_r50_8xb32_20e_in1k-10percent'
    runner, losses, metrics = run(name, tmp_path / 'trained', checkpoint, **options)
    assert len(runner.train_dataloader.dataset) == 20  # of 200
    assert losses[-1] < losses[0]
    trained = runner.model.backbone.state_dict()
    assert not all(torch.equal(trained[name], tensor) for name, tensor in
                   torch.load(checkpoint, weights_only=True).items() if name.endswith('weight'))
    _, _, untrained = run(name, tmp_path / 'random', **options)
    assert metrics['accuracy/top1'] > untrained['accuracy/top1'] + 10


def test_inaturalist(checkpoint, tmp_path):
    inat = write_inaturalist(tmp_path / 'inat')
    _, losses, metrics = run(INAT, tmp_path / 'trained', checkpoint, **inat_options(inat, 3, 0.003))
    _, _, untrained = run(INAT, tmp_path / 'random', **inat_options(inat, 3, 0.003))
    assert mean(losses[-3:]) < mean(losses[:3])
    assert metrics['accuracy/top1'] > untrained['accuracy/top1'] + 10


def finetune_options(folder, max_iters=20):
    return {'train_cfg': dict(max_iters=max_iters, val_interval=max_iters), 'param_scheduler.0.end': max_iters,
            'train_dataloader.dataset.data_root': str(folder), 'val_dataloader.dataset.data_root': str(folder)}


@pytest.mark.parametrize('name', ['cifar10', 'cifar100', 'sun397', 'dtd'])
def test_finetune(name, checkpoint, tmp_path, monkeypatch):
    if name.startswith('cifar'):
        dataset = getattr(mmpretrain.datasets, name.upper())
        folder = write_cifar(tmp_path / 'data', dataset.base_folder)

        def sums(listed):
            return [[file, hashlib.md5((folder / dataset.base_folder / file).read_bytes()).hexdigest()]
                    for file, _ in listed]

        # it knows the published files by their checksums
        monkeypatch.setattr(dataset, 'train_list', sums(dataset.train_list))
        monkeypatch.setattr(dataset, 'test_list', sums(dataset.test_list))
        monkeypatch.setattr(dataset, 'meta', {
            **dataset.meta, 'md5': sums([[dataset.meta['filename'], '']])[0][1]})
    else:
        folder = {'sun397': write_sun397, 'dtd': write_dtd}[name](tmp_path / 'data')
    runner, losses, metrics = run(f'finetune_r50_8xb32_20k_{name}', tmp_path / 'trained', checkpoint,
                                  **finetune_options(folder))
    assert len(runner.train_dataloader.dataset) == NUM_TRAIN and len(runner.val_dataloader.dataset) == NUM_VAL
    assert mean(losses[-3:]) < 0.8 * mean(losses[:3])
    _, _, untrained = run(f'finetune_r50_8xb32_20k_{name}', tmp_path / 'random', **finetune_options(folder))
    assert metrics['accuracy/top1'] > untrained['accuracy/top1'] + 10


@pytest.mark.parametrize('name, key, message', [
    (LINEAR, 'train_dataloader.dataset.data_root', 'there is no {}: put the data set there, or set train_data'),
    (INAT, 'val_dataloader.dataset.data_root', 'there is no {}: put the data set there, or set val_dataloader.dataset'),
    ('semi_r50_8xb32_10e_in1k-1percent', 'train_dataloader.dataset.dataset.data_root',
     'there is no {}: put the data set there, or set train_dataloader.dataset.dataset.data_root in --cfg-options'),
])
def test_no_data(name, key, message, tmp_path):
    cfg = Config.fromfile(config_path(name))
    for split in ('train', 'val'):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.get('dataset', dataset).update(data_root=str(tmp_path), ann_file='')
    check_data(cfg)
    cfg.merge_from_dict({key: str(tmp_path / 'absent')})
    with pytest.raises(ValueError, match=message.format(tmp_path / 'absent')):
        check_data(cfg)


def test_no_annotations(tmp_path):
    folder = write_inaturalist(tmp_path)
    (folder / 'val2018.json').unlink()
    cfg = Config.fromfile(config_path(INAT))
    cfg.merge_from_dict(inat_options(folder, 1, 0.03))
    with pytest.raises(ValueError, match='there is no .*/val2018.json, which val_dataloader.dataset.ann_file names'):
        check_data(cfg)
