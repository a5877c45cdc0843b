"""A training starts from the whole of its checkpoint, or not at all."""
import logging
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmpretrain.models import ResNet
from mmpretrain.registry import MODELS
from torch import nn

from pic_plugin.engine import CheckBackboneHook
from tests.tiny import ROOT, write_images

SMALL = dict(depth=18, stem_channels=4, base_channels=4, norm_eval=True, frozen_stages=-1)


@MODELS.register_module(force=True)
class SplitHead(BaseModule):
    """Ends with the network's last stage and a norm of its own, as the box head of a Faster R-CNN C4 does."""

    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.layer4 = ResNet(**SMALL).layer4
        self.norm = nn.BatchNorm2d(32)
        self.fc = nn.Linear(32, 2)

    def loss(self, feats, data_samples):
        target = torch.cat([sample.gt_label for sample in data_samples])
        return dict(loss=nn.functional.cross_entropy(self.fc(self.norm(self.layer4(feats[-1])).mean((2, 3))), target))


@pytest.fixture
def run(tmp_path):
    """Trains for an iteration, by the runtime of the real configs; returns the runner and its log."""
    images = write_images(tmp_path / 'images', 4, size=16)

    def train(checkpoint, **changes):
        cfg = Config.fromfile(ROOT / 'configs/benchmarks/linear/linear_r50_8xb32_100e_in1k.py')
        cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
        cfg.merge_from_dict({
            'work_dir': str(tmp_path / 'work'), 'experiment_name': str(tmp_path), 'train_cfg.max_epochs': 1,
            'model.backbone': SMALL,
            'model.backbone.init_cfg.checkpoint': str(checkpoint),
            'model.head': dict(num_classes=2, in_channels=32, topk=(1, )),
            'train_dataloader': dict(batch_size=4, num_workers=0, persistent_workers=False),
            'train_dataloader.dataset': dict(
                _delete_=True, type='CustomDataset', data_root=str(images),
                pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')]),
            **changes})
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner

    train.folder = tmp_path
    return train


def start(checkpoint, **init_cfg):
    """As the runner does it, without one: that takes seconds.  Returns the log."""
    log: list[str] = []
    logger = SimpleNamespace(info=log.append, warning=log.append)
    model = nn.Module()
    model.backbone = ResNet(**SMALL, init_cfg=dict(type='Pretrained', checkpoint=str(checkpoint), **init_cfg))
    optim_wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    hook, runner = CheckBackboneHook(), SimpleNamespace(model=model, optim_wrapper=optim_wrapper, logger=logger)
    hook.before_run(runner)
    model.backbone.init_weights()
    hook.before_train(runner)
    return '\n'.join(log)


def saved(folder: Path, prefix='', others=(), **changes):
    """A checkpoint of a small ResNet's random weights."""
    torch.manual_seed(1)
    network = ResNet(**{**SMALL, **changes})
    network.init_weights()
    state = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    path = folder / 'backbone.pth'
    torch.save({**state, **{name: torch.ones(2) for name in others}}, path)
    return path


def log_of(run):
    return '\n'.join(path.read_text() for path in (run.folder / 'work').glob('*/*.log'))


def test_all_taken(run):
    path = saved(run.folder)
    runner = run(path, **{'optim_wrapper.optimizer.lr': 0.0})
    assert f'model.backbone took 120 of the 120 tensors of {path}\n' in log_of(run)
    for name, tensor in torch.load(path, weights_only=True).items():
        if 'num_batches' not in name:
            assert torch.equal(runner.model.backbone.state_dict()[name], tensor)


def test_a_part_of_a_larger_model(tmp_path):
    path = saved(tmp_path, 'backbone.', ['head.fc.bias', 'neck.weight'])
    log = start(path, prefix='backbone')
    assert f'took 120 of the 122 tensors of {path}; 2 are left in the file: head.fc.bias, neck.weight' in log


def test_a_file_of_torchvision_has_a_classifier_and_may_lack_counters(tmp_path):
    path = saved(tmp_path, 'module.', ['fc.weight', 'fc.bias'])
    state = torch.load(path, weights_only=True)
    torch.save({'state_dict': {k: v for k, v in state.items() if 'num_batches' not in k}}, path)
    assert f'took 100 of the 102 tensors of {path}; 2 are left in the file: fc.bias, fc.weight' in start(path)


@pytest.mark.parametrize('init_cfg', [None, dict(type='Kaiming', layer='Conv2d', _delete_=True)])
def test_random_weights_on_purpose(run, init_cfg):
    run('none', **{'model.backbone.init_cfg': init_cfg})
    assert 'model.backbone starts from random weights: its init_cfg names no checkpoint' in log_of(run)


@pytest.mark.parametrize('checkpoint', ['', 'none'])
def test_no_checkpoint(checkpoint):
    with pytest.raises(ValueError, match='no checkpoint is given: set CHECKPOINT=.*model.backbone.init_cfg.checkpoint'
                                         '.*to start from random weights, set model.backbone.init_cfg=None'):
        start(checkpoint)


@pytest.mark.parametrize('checkpoint', ['absent.pth', 'https://example.org/backbone.pth', str(ROOT)])
def test_no_file(tmp_path, checkpoint, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f'must be a file on this machine, and there is no /.*{checkpoint[-3:]}'):
        start(checkpoint)


def test_a_relative_path_is_looked_up_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(saved(tmp_path).parent)
    assert f'took 120 of the 120 tensors of {tmp_path}/backbone.pth' in start('backbone.pth')


@pytest.mark.parametrize('in_file, set_to, advice', [
    ('encoder.', None, 'set model.backbone.init_cfg.prefix=encoder$'),
    ('', 'backbone.', 'set model.backbone.init_cfg.prefix=None$'),
    ('model.encoder.', 'backbone.', 'set model.backbone.init_cfg.prefix=model.encoder$'),
])
def test_a_wrong_prefix(tmp_path, in_file, set_to, advice):
    path = saved(tmp_path, in_file)
    with pytest.raises(ValueError, match=rf'must take all of its tensors from {path}: 100 of its 100 tensors are not '
                                         rf'in the file \(bn1.bias, .* and 95 more\); {advice}'):
        start(path, prefix=set_to)


def test_a_foreign_checkpoint(tmp_path):
    torch.save({'patch_embed.weight': torch.ones(3)}, tmp_path / 'vit.pth')
    with pytest.raises(ValueError, match='it is of another kind of network: it has patch_embed.weight'):
        start(tmp_path / 'vit.pth')


@pytest.mark.parametrize('changes, message', [
    (dict(depth=34), r'96 of the file have no place in it \(layer1.2.bn1.bias, .*network of another kind or depth'),
    (dict(depth=50), r'have another shape in the file .*; .* of the file have no place in it'),
    (dict(num_stages=3, out_indices=(2, )), r'25 of its 115 tensors are not in the file \(layer4.0.bn1.bias'),
    (dict(base_channels=8), r'have another shape in the file \(layer1.0.bn1.bias \(8,\) for \(4,\), '),
])
def test_another_network(tmp_path, changes, message):
    path = saved(tmp_path, **{**changes, 'strides': (1, 2, 2, 2)[:changes.get('num_stages', 4)],
                              'dilations': (1, 1, 1, 1)[:changes.get('num_stages', 4)]})
    with pytest.raises(ValueError, match=message):
        start(path)


@pytest.mark.parametrize('spoil', [lambda content: content[:len(content) // 2], lambda content: b'', lambda content:
                                   b'<html>not found</html>'])
def test_a_truncated_file_or_none_of_torchs(tmp_path, spoil):
    path = saved(tmp_path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=f'{path} is damaged, or no checkpoint'):
        start(path)


class Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, fuse):
        self.fuse = fuse

    def __reduce__(self):
        return Path.touch, (self.fuse, )


def test_a_file_that_would_run_code(run):
    path, fuse = saved(run.folder), run.folder / 'exploded'
    torch.save({**torch.load(path, weights_only=True), 'opt': Bomb(fuse)}, path)
    with pytest.raises(ValueError, match='making that might run code, so it is not loaded'):
        run(path)
    assert not fuse.exists()
    pickle.loads(pickle.dumps(Bomb(fuse)))
    assert fuse.exists()  # it was live


@pytest.mark.parametrize('content', [dict(epoch=3), torch.ones(3), dict(state_dict=dict())])
def test_no_dict_of_tensors(tmp_path, content):
    torch.save(content, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='other.pth holds no dict of tensors, neither by itself nor as state_dict'):
        start(tmp_path / 'other.pth')


def test_something_else_loaded_after_it(run):
    path = saved(run.folder)
    torch.save({'backbone.conv1.weight': torch.zeros(4, 3, 7, 7)}, run.folder / 'model.pth')
    with pytest.raises(ValueError, match=r'1 of its 120 have other values \(conv1.weight\); was something else loaded'):
        run(path, load_from=str(run.folder / 'model.pth'))


@pytest.fixture
def _checkpoints_of_mmengine(monkeypatch):
    """mmengine 0.10.7 saves objects that torch does not load any more unless it is told to."""
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')


@pytest.mark.usefixtures('_checkpoints_of_mmengine')
def test_a_resumed_run_has_other_values(run):
    path = saved(run.folder)
    run(path)
    runner = run(path, resume=True, **{'train_cfg.max_epochs': 2})
    assert runner.epoch == 2
    assert 'The run is resumed: whether the backbone took the tensors of a checkpoint was checked when' in log_of(run)


def split(path):
    three = dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2, ))
    init_cfg = dict(type='Pretrained', checkpoint=str(path))
    return {'model.backbone': {**SMALL, **three}, 'model.neck': None,
            'model.head': dict(_delete_=True, type='SplitHead', init_cfg=init_cfg)}


def test_a_network_in_two_modules(run):
    path = saved(run.folder)
    hook = dict(type='CheckBackboneHook', modules=['backbone', 'head'], new=['head.norm', 'head.fc'])
    run(path, **split(path), custom_hooks=[hook])
    assert f'model.backbone took 90 of the 120 tensors of {path}; 30 are left in the file: layer4.0.bn1' in log_of(run)
    assert f'model.head took 30 of the 120 tensors of {path}; 90 are left in the file: bn1.bias' in log_of(run)


def test_a_network_in_two_modules_of_which_one_has_more(run):
    path = saved(run.folder)
    hook = dict(type='CheckBackboneHook', modules=['backbone', 'head'], new=['head.norm'])
    with pytest.raises(ValueError, match=r'model.head .*: 2 of its 32 tensors are not in the file \(fc.bias, fc.w'):
        run(path, **split(path), custom_hooks=[hook])


@pytest.mark.usefixtures('_checkpoints_of_mmengine')
def test_evaluation_needs_no_checkpoint(run, caplog):
    """A trained model is loaded into it."""
    runner = run(saved(run.folder))
    cfg = runner.cfg
    cfg.merge_from_dict({'model.backbone.init_cfg.checkpoint': 'none', 'test_dataloader': cfg.train_dataloader,
                         'test_evaluator': dict(type='Accuracy'), 'test_cfg': dict(), 'experiment_name': 'test',
                         'load_from': str(run.folder / 'work/epoch_1.pth'), 'test_dataloader.sampler.shuffle': False})
    with caplog.at_level(logging.INFO):
        assert 0 <= Runner.from_cfg(cfg).test()['accuracy/top1'] <= 100
