"""The configs of other networks, and of mmpretrain's wrappers of networks, train: one epoch of small images."""
import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from timm import create_model
from torchvision.models import get_model

from pic_plugin.checkpoints.read import load_tensors_only
from tests.tiny import ROOT, network_of, rows_of
from tests.tools.scripts import run_tool

NUM_IMAGES = 8
VIT = 'pic_vit-s16_8xb64_200e'
DEIT = dict(type='VisionTransformer', arch='deit-tiny', img_size=32, patch_size=16, out_type='cls_token')


def timm(model_name, **options):
    return dict(type='TIMMBackbone', model_name=model_name, _delete_=True, **options)


def train(folder, name, backbone, **changes):
    """A run of a config with images of 32 pixels, and its network's start."""
    for i in range(NUM_IMAGES):
        (folder / 'images/a').mkdir(parents=True, exist_ok=True)
        image = np.random.default_rng(i).integers(0, 256, (40, 40, 3), np.uint8)
        cv2.imwrite(str(folder / f'images/a/{i}.png'), image)
    cfg = Config.fromfile(next((ROOT / 'configs').glob(f'*/{name}.py')))
    cfg.train_dataloader.dataset.pipeline[0].crops.size = 32
    cfg.merge_from_dict({
        'work_dir': str(folder / 'run'), 'experiment_name': str(folder).replace('/', '_'), 'log_level': 'ERROR',
        'train_dataloader.batch_size': 4, 'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False, 'train_dataloader.dataset.data_root': str(folder / 'images'),
        'train_cfg.max_epochs': 1, 'default_hooks.logger': None,
        'default_hooks.checkpoint': None,  # hundreds of megabytes
        'model.backbone': backbone, **changes})
    cfg.merge_from_dict({'model.head.in_channels': 512} if name.startswith('diet') else {
        'model.head.num_negatives': 6, 'model.neck.hid_channels': 16, 'train_dataloader.sampler.window_size': 4,
        'train_dataloader.sampler.window_stride': 2})
    cfg.param_scheduler = None
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    runner.model.init_weights = lambda: None  # the start that is looked at
    start = {name: tensor.detach().clone() for name, tensor in runner.model.named_parameters()}
    runner.train()
    return runner, start


def pooled(channels):
    return {'model.neck.in_channels': channels, 'model.neck.with_avg_pool': True}


@pytest.mark.parametrize('name, backbone, changes', [
    ('diet_r50_8xb32_1000e', dict(depth=18), {}),
    (VIT, dict(img_size=32), {}),
    (VIT, dict(img_size=32, out_type='avg_featmap'), {}),
    ('pic_convnext-t_8xb64_200e', {}, {}),
    ('pic_swin-t_8xb64_200e', dict(pad_small_map=True), {}),
    (VIT, timm('vit_tiny_patch16_224', img_size=32, features_only=True, out_indices=(-1, )), pooled(192)),
    (VIT, timm('convnext_atto'), pooled(320)),
    (VIT, timm('resnet18'), pooled(512)),
])
def test_network_and_rows_are_trained(tmp_path, name, backbone, changes):
    runner, start = train(tmp_path, name, backbone, **changes)
    names = [name for name, parameter in runner.model.named_parameters() if not torch.equal(parameter, start[name])]
    moved = len([name for name in names if name.startswith('backbone.')])
    assert moved > 0.9 * len([name for name in start if name.startswith('backbone.')])  # some have no gradient at first
    assert rows_of(runner)[1].abs().sum(1).gt(0).all()  # each row has a momentum: it was trained
    assert {type(optimizer).__name__ for optimizer in vars(runner.optim_wrapper.optimizer).values()
            if isinstance(optimizer, torch.optim.Optimizer)} == {'AdamW', 'SGD'}
    if not name.startswith('diet'):
        groups = runner.optim_wrapper.optimizer.network.param_groups
        decays = {(group['params'][0].dim(), group['weight_decay']) for group in groups}
        assert {(1, 0.0), (4, 0.05)} <= decays and not {(1, 0.05), (4, 0.0)} & decays


def small_dinov2():
    return create_model('vit_small_patch14_dinov2', img_size=42, embed_dim=192, num_heads=3, depth=2)


@pytest.mark.parametrize('name, network, source, changes', [
    ('continue_r50_8xb64_50e', lambda: get_model('resnet18'), '{}',
     {'model.backbone.depth': 18, 'model.backbone.zero_init_residual': False, 'model.neck.in_channels': 512}),
    ('continue_dinov2-s14_8xb64_50e', small_dinov2, '{}',
     {'model.backbone.img_size': 42, 'model.neck.in_channels': 192,
      'model.backbone.arch': dict(embed_dims=192, num_layers=2, num_heads=3, feedforward_channels=768,
                                  _delete_=True)}),
    ('continue_timm-convnext-t_8xb64_50e', lambda: create_model('convnext_atto'), 'convnext_atto={}',
     {'model.backbone.model_name': 'convnext_atto', 'model.neck.in_channels': 320}),
])
def test_training_goes_on_from_weights(tmp_path, capsys, name, network, source, changes):
    torch.save(network().state_dict(), tmp_path / 'weights.pth')
    path = tmp_path / 'start.pth'
    run_tool('model_converters/convert_backbone.py', source.format(tmp_path / 'weights.pth'), path)
    assert 'backbone={' in capsys.readouterr().out
    runner, start = train(tmp_path, name, {}, **changes, **{'model.backbone.init_cfg.checkpoint': str(path)})
    tensors = load_tensors_only(path)
    parameters = [key for key in start if key.startswith('backbone.')]
    assert all(torch.equal(start[key], tensors[key.removeprefix('backbone.')]) for key in parameters)
    assert any(not torch.equal(start[key], dict(runner.model.named_parameters())[key]) for key in parameters)
    optimizer = runner.optim_wrapper.optimizer
    rates = {group['lr'] for group in optimizer.network.param_groups}
    assert rates == {1e-4, 1e-3} and optimizer.rows.param_groups[0]['lr'] == 0.06
    new = [key for key, parameter in runner.model.named_parameters() for group in optimizer.network.param_groups
           if group['lr'] == 1e-3 and group['params'][0] is parameter]
    assert new and all(key.startswith('neck.') for key in new)


def test_frozen_stages_stay(tmp_path):
    runner, start = train(tmp_path, VIT, dict(type='ResNet', depth=18, frozen_stages=2, _delete_=True),
                          **pooled(512))
    moved = {name for name, tensor in network_of(runner).items() if name in start and not torch.equal(
        tensor, start[name])}
    assert {'backbone.layer3.0.conv1.weight', 'neck.mlp.2.weight'} <= moved
    assert not [name for name in moved if name.startswith(('backbone.conv1', 'backbone.layer1', 'backbone.layer2'))]


def test_lora_trains_its_factors_alone(tmp_path):
    lora = dict(type='LoRAModel', module=DEIT, rank=2, targets=[dict(type='.*qkv')], _delete_=True)
    runner, start = train(tmp_path, VIT, lora, **{'model.neck.in_channels': 192})
    moved = {name for name, parameter in runner.model.backbone.named_parameters()
             if not torch.equal(parameter, start[f'backbone.{name}'])}
    assert moved and all('.lora_' in name for name in moved)
    assert all('.lora_' in name for name in runner.model.backbone.state_dict())  # mmpretrain leaves out the rest


@pytest.mark.parametrize('backbone', [timm('vit_tiny_patch16_224', img_size=32), dict(img_size=32, out_type='raw')])
def test_tokens_are_refused(tmp_path, backbone):
    with pytest.raises(ValueError, match=r'model\.neck \(MoCoV2Neck\) does not fit: expected \[B, 384\], got '
                                         r"\(\[2, 5, \d+\] float32\) .*tokens \[B, L, C\] .*out_type='cls_token'.*"
                                         'features_only=True'):
        train(tmp_path, VIT, backbone)
