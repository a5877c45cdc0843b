from unittest.mock import patch

import pytest
import torch
from mmengine.config import Config
from torchvision.models import get_model

from pic_plugin.engine.checkpoint_files import SCRATCH
from pic_plugin.model_zoo.network import evaluation_pipeline, load_network
from pic_plugin.model_zoo.publishing import publish
from tests.checkpoints.networks import Bomb, images, randomised
from tests.model_zoo.runs import write_run
from tests.model_zoo.small import network
from tests.tiny import ROOT, assert_same


def backbone_of(folder):
    return torch.load(folder / 'backbone.pth', weights_only=True)


def tensors(source, config=None):
    return dict(load_network(source, config).model.backbone.state_dict())


def test_each_source_has_the_same_network(tmp_path):
    run = write_run(tmp_path / 'run')
    expected = backbone_of(run)
    torch.save({'state_dict': network(run / 'small.py'), 'meta': {}}, run / 'epoch_3.pth')
    release = publish(run / 'epoch_3.pth', tmp_path / 'releases')
    pth, = release.glob('*.pth')
    safetensors, = release.glob('*.safetensors')
    for source in (run, run / 'backbone.pth', run / 'epoch_3.pth', release, pth, safetensors):
        assert_same(tensors(source), expected)
    (run / 'backbone.pth').rename(tmp_path / 'alone.pth')
    assert_same(tensors(tmp_path / 'alone.pth', str(run / 'small.py')), expected)
    (run / 'last_checkpoint').write_text(str(run / 'epoch_3.pth'))  # training still goes on
    assert_same(tensors(run), expected)
    assert not (run / SCRATCH).exists()


def test_a_network_of_mmpretrain_by_its_name(tmp_path):
    weights = randomised(get_model('resnet18', weights=None))
    torch.save(weights.state_dict(), tmp_path / 'a.pth')
    loaded = load_network(tmp_path / 'a.pth', 'resnet18_8xb32_in1k')
    x = images()
    with torch.no_grad():
        expected = torch.nn.Sequential(*list(weights.children())[:-2])(x)
        torch.testing.assert_close(loaded.model(x, mode='tensor')[-1], expected)
    assert [transform['type'] for transform in loaded.pipeline] == ['LoadImageFromFile', 'ResizeEdge', 'CenterCrop',
                                                                    'PackInputs']
    assert loaded.model.data_preprocessor.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])


def test_it_is_in_evaluation_and_not_initialised(tmp_path):
    run = write_run(tmp_path / 'run')
    config = run / 'small.py'
    config.write_text(config.read_text().replace("type='ResNet',", "type='ResNet', init_cfg=dict(type='Pretrained', "
                                                                   "checkpoint='nowhere.pth'),"))
    assert not load_network(run).model.training
    assert_same(tensors(run), backbone_of(run))


@pytest.mark.parametrize('name, expected', [
    ('pic/pic_r50_8xb64_200e.py', ['LoadImageFromFile', ('ResizeEdge', 256), ('CenterCrop', 224), 'PackInputs']),
    ('pic/pic_r50_8xb64_200e_multicrop-1x160-3x96.py',
     ['LoadImageFromFile', ('ResizeEdge', 183), ('CenterCrop', 160), 'PackInputs']),
    ('pic/pic_r18-3stage-w32_1xb128_40e_digits.py', ['LoadImageFromFile', ('Resize', 16), 'PackInputs']),
    ('benchmarks/linear/linear_r50_8xb32_100e_in1k.py',
     ['LoadImageFromFile', ('ResizeEdge', 256), ('CenterCrop', 224), 'PackInputs']),
    ('benchmarks/finetune/finetune_r50_8xb32_20k_cifar10.py',  # its images come as arrays
     ['LoadImageFromFile', ('ResizeEdge', 256), ('CenterCrop', 224), 'PackInputs']),
])
def test_how_images_are_prepared(name, expected):
    pipeline = evaluation_pipeline(Config.fromfile(ROOT / 'configs' / name))
    found = [(transform['type'], size) if (size := transform.get('scale') or transform.get('crop_size')) else
             transform['type'] for transform in pipeline]
    assert found == expected
    assert ('color_type' in pipeline[0]) == ('digits' in name)


def test_a_pipeline_of_the_config_comes_first(tmp_path):
    run = write_run(tmp_path / 'run')
    assert [transform.get('scale') for transform in load_network(run).pipeline] == [None, 32, None, None]


def refuses(message, *arguments):
    with pytest.raises(ValueError, match=message):
        load_network(*arguments)


def test_what_does_not_fit(tmp_path):
    run = write_run(tmp_path / 'run')
    (tmp_path / 'empty').mkdir()
    torch.save(backbone_of(run), tmp_path / 'empty/other.pth')
    for arguments, message in [
        ((tmp_path / 'nowhere', ), 'nowhere is neither a checkpoint nor a work directory'),
        ((tmp_path / 'empty', ), 'empty has no backbone.pth and no last_checkpoint'),
        ((tmp_path / 'empty/other.pth', ), r'has 0 configs .* name the one of the training with --config'),
        ((run, str(write_run(tmp_path / 'deep', depth=34) / 'small.py')), "the checkpoint's backbone is not what"),
        ((run, 'resnet18_8xb32_in1k'), "the checkpoint's backbone is not what the config describes, type='ResNet'"),
        ((run, 'resnet18'), '--config resnet18 is neither a file nor the name of a network of mmpretrain'),
    ]:
        refuses(message, *arguments)
    # a name of mmpretrain's is no weights; it says where these are
    refuses('is a network of mmpretrain, whose weights are to be given, .* mmpretrain has them at https://',
            tmp_path.relative_to(tmp_path) / 'resnet18_8xb32_in1k')


@pytest.mark.parametrize('change, message', [
    (("default_scope = 'mmpretrain'", "default_scope = 'mmdet'"), "got a config of mmdet with model.type='PIC'"),
    (('backbone=dict', 'encoder=dict'), "a network of mmpretrain with a model.backbone was expected"),
    (('test_pipeline', 'other'), 'the config has no pipeline for evaluation, .* add test_pipeline'),
])
def test_a_config_of_another_kind(change, message, tmp_path):
    run = write_run(tmp_path / 'run')
    config = run / 'small.py'
    config.write_text(config.read_text().replace(*change))
    refuses(message, run)


def test_no_code_is_run(tmp_path):
    run = write_run(tmp_path / 'run')
    torch.save({'state_dict': backbone_of(run), 'meta': Bomb(tmp_path / 'fuse')}, run / 'backbone.pth')
    refuses('it names posix.system, and making that might run code, so it is not loaded', run)
    with patch('torch.load', side_effect=AssertionError):
        refuses('damaged, or no checkpoint', run)
    assert not (tmp_path / 'fuse').exists()
