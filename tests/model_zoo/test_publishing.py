import hashlib
import json
import subprocess

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from safetensors.torch import load_file

from pic_plugin.model_zoo import publishing
from pic_plugin.model_zoo.publishing import git_commit, publish
from tests.checkpoints.networks import Bomb
from tests.model_zoo.small import network, write_config
from tests.tiny import assert_same, tiny_config, write_images
from tests.tools.scripts import run_tool


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    """Of a training that really took place, of two epochs of six iterations."""
    folder = tmp_path_factory.mktemp('trained')
    cfg = tiny_config(write_images(folder / 'images', 23), folder / 'run', **{
        'train_cfg.max_epochs': 2, 'default_hooks.logger.interval': 4})
    Runner.from_cfg(cfg).train()
    return folder / 'run'


@pytest.fixture
def small(tmp_path):
    """A checkpoint of a small ResNet, and its config beside it."""
    config = write_config(tmp_path / 'run/small.py')
    torch.save({'state_dict': network(config) | {'head.weight': torch.zeros(3)},
                'meta': {'epoch': 7, 'iter': 70, 'seed': 5}}, tmp_path / 'run/epoch_7.pth')
    return tmp_path / 'run/epoch_7.pth'


def only(folder, pattern):
    path, = folder.glob(pattern)
    return path


def names(folder):
    return sorted(path.name for path in folder.rglob('*'))


def test_a_work_directory(work_dir, tmp_path, capsys):
    run_tool('publish_model.py', work_dir, tmp_path / 'releases')
    folder = tmp_path / 'releases/instance_runtime'
    pth, safe = only(folder, '*.pth'), only(folder, '*.safetensors')
    trained = torch.load(work_dir / 'backbone.pth', weights_only=True)
    assert_same(torch.load(pth, weights_only=True), trained)
    assert_same(load_file(safe), trained)
    card, printed = (folder / 'README.md').read_text(), capsys.readouterr().out
    assert 'Cao et al.' in card and 'Liu et al.' not in card
    for path in (pth, safe):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.stem == f'instance_runtime-{digest[:8]}'
        assert f'| `{path.name}` | `{digest}` |' in card and f'      {path.name}: {digest}\n' in printed
        assert path.stat().st_mode & 0o777 == (folder / 'README.md').stat().st_mode & 0o777
    assert names(folder) == sorted([pth.name, safe.name, 'instance_runtime.py', 'README.md', 'training.json'])

    # the log, counted by hand: 23 images in batches of 4
    lines = [json.loads(line) for line in only(work_dir, '*/vis_data/scalars.json').read_text().splitlines()]
    assert any('health/rank_projected' in line for line in lines)
    lines = [line for line in lines if 'loss' in line]
    summary = json.loads((folder / 'training.json').read_text())
    assert (summary['epochs'], summary['iterations'], summary['metrics']) == (2, 12, {})
    assert (summary['first_loss'], summary['last_loss']) == (lines[0]['loss'], lines[-1]['loss'])
    assert f'2 epochs, 12 iterations, {summary["hours"]} h; loss from {lines[0]["loss"]:.3f} to' in card
    for package in ('torch', 'mmengine', 'mmpretrain'):
        assert f'{package} {__import__(package).__version__}' in card
    cfg = Config.fromfile(folder / 'instance_runtime.py')
    assert cfg.model.backbone.type == 'TinyBackbone' and 'work_dir' not in cfg


def test_a_network_of_all_classes_has_their_paper_on_its_card(small, tmp_path):
    config = small.parent / 'small.py'
    config.write_text(config.read_text().replace('num_negatives=8', 'num_negatives=None'))
    card = (publish(small, tmp_path / 'releases') / 'README.md').read_text()
    assert 'Liu et al.' in card and 'Cao et al.' not in card


def test_a_checkpoint_has_the_backbone_of_backbone_pth(work_dir, tmp_path):
    a = publish(work_dir, tmp_path / 'a')
    b = publish(work_dir / 'epoch_2.pth', tmp_path / 'b')
    assert only(a, '*.safetensors').name == only(b, '*.safetensors').name
    assert 'after epoch 2, iteration 12, seed 0' in (b / 'README.md').read_text()


def test_the_neck(small, tmp_path):
    folder = publish(small, tmp_path / 'releases', with_neck=True)
    assert folder.name == 'small_with-neck'
    expected = network(small.parent / 'small.py')
    assert_same(torch.load(only(folder, '*.pth'), weights_only=True), expected)
    assert_same(load_file(only(folder, '*.safetensors')), expected)
    card = (folder / 'README.md').read_text()
    assert "prefix='backbone.'" in card and 'no log was found beside the checkpoint' in card
    assert 'after epoch 7, iteration 70, seed 5' in card
    assert 'RGB, values from 0 to 255, minus [1.0, 2.0, 3.0], divided by [4.0, 5.0, 6.0]' in card
    assert 'training.json' not in names(folder)
    # the config is that of the training, but for what is this machine's
    assert 'private' not in (folder / 'small_with-neck.py').read_text()
    # and the card's line for a config loads the backbone
    scope = {}
    exec(card.split('```python\n')[1].split('```')[0].replace("checkpoint='", f"checkpoint='{folder}/"), scope)
    assert scope['backbone'].pop('type') == 'ResNet'
    from mmpretrain.models import ResNet
    loaded = ResNet(**scope['backbone'])
    loaded.init_weights()
    assert_same({f'backbone.{name}': tensor for name, tensor in loaded.state_dict().items()},
                {name: tensor for name, tensor in expected.items() if name.startswith('backbone.')})


def test_nothing_is_overwritten(small, tmp_path):
    (tmp_path / 'releases/small').mkdir(parents=True)
    with pytest.raises(ValueError, match='releases/small exists, and is not overwritten; remove it or name another'):
        publish(small, tmp_path / 'releases')
    assert names(tmp_path / 'releases') == ['small']


def test_what_fails_halfway_leaves_nothing(small, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError('no space left on device')
    monkeypatch.setattr(publishing, 'model_card', fail)
    with pytest.raises(OSError, match='no space left'):
        publish(small, tmp_path / 'releases')
    assert names(tmp_path / 'releases') == []


def refuses(tmp_path, message, *args, **kwargs):
    with pytest.raises(ValueError, match=message):
        publish(*args, tmp_path / 'releases', **kwargs)
    assert not (tmp_path / 'releases').exists()


def test_another_depth(small, tmp_path):
    config = write_config(tmp_path / 'other/deep.py', depth=34)
    refuses(tmp_path, "the checkpoint's backbone is not what the config describes, type='ResNet', depth=34: 100 "
                      r'tensors were given, 180 expected, and 80 differ: layer1.2.bn1.bias is missing, expected \(8,\)',
            small, config=config)


def test_another_width(small, tmp_path):
    config = write_config(tmp_path / 'other/wide.py', width=16)
    refuses(tmp_path, r'100 expected, and 100 differ: bn1.bias is \(8,\), expected \(16,\)', small, config=config)


def test_foreign(small, tmp_path):
    torch.save({'a': torch.zeros(2)}, small)
    refuses(tmp_path, 'a is .2,., expected none', small)
    torch.save({'optimizer': {}, 'epoch': 1}, small)
    refuses(tmp_path, 'epoch_7.pth has no network in it', small)


def test_truncated(small, tmp_path):
    small.write_bytes(small.read_bytes()[:-1000])
    refuses(tmp_path, 'epoch_7.pth is damaged, or no checkpoint', small)


def test_no_code_is_run(small, tmp_path):
    torch.save({'state_dict': {}, 'meta': Bomb(tmp_path / 'fuse')}, small)
    refuses(tmp_path, 'it names posix.system, and making that might run code, so it is not loaded', small)
    assert not (tmp_path / 'fuse').exists()


def test_values_that_are_not_finite(small, tmp_path):
    checkpoint = torch.load(small, weights_only=True)
    checkpoint['state_dict']['backbone.bn1.weight'][3] = torch.nan
    torch.save(checkpoint, small)
    refuses(tmp_path, '1 tensors have values that are not finite: bn1.weight', small)


def test_no_neck(small, tmp_path):
    state = torch.load(small, weights_only=True)['state_dict']
    torch.save({name.removeprefix('backbone.'): x for name, x in state.items() if name.startswith('backbone.')}, small)
    refuses(tmp_path, 'a checkpoint with backbone.… and neck.… is needed to release the neck, such as epoch_N.pth, got '
                      'one with conv1.weight', small, with_neck=True)


def test_what_is_missing(small, tmp_path):
    refuses(tmp_path, 'nowhere is neither a checkpoint nor a work directory', tmp_path / 'nowhere')
    refuses(tmp_path, 'run has no backbone.pth and no last_checkpoint that leads to a checkpoint', small.parent)
    refuses(tmp_path, 'run has no last_checkpoint that leads to a checkpoint', small.parent, with_neck=True)
    refuses(tmp_path, '--config .*none.py is not there', small, config=tmp_path / 'none.py')
    write_config(small.parent / 'second.py')
    refuses(tmp_path, r'run has 2 configs \(\*.py\), one was expected; name the one of the training with --co', small)


def test_the_commit(tmp_path):
    def git(*command):
        subprocess.run(['git', '-C', tmp_path, '-c', 'user.name=a', '-c', 'user.email=a@b', *command], check=True,
                       capture_output=True)
    (tmp_path / 'pic_plugin').mkdir()
    (tmp_path / 'pic_plugin/__init__.py').write_text('')
    assert git_commit(tmp_path) is None
    git('init')
    (tmp_path / 'other').write_text('')
    git('add', 'other')
    git('commit', '-m', 'another project, in which this package is installed')
    assert git_commit(tmp_path) is None
    git('add', '.')
    git('commit', '-m', 'this one')
    git('tag', 'v1')
    head = subprocess.run(['git', '-C', tmp_path, 'rev-parse', 'HEAD'], check=True, capture_output=True, text=True)
    assert git_commit(tmp_path) == head.stdout.strip()
    (tmp_path / 'other').write_text('changed')
    assert git_commit(tmp_path) == head.stdout.strip() + '-dirty'
