import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample

from pic_plugin.engine import WeightCorrectingOptimWrapper
from pic_plugin.models import PIC
from pic_plugin.sharding import Ranks

BACKBONE = dict(type='ResNet', depth=18, stem_channels=8, base_channels=8, out_indices=(3, ))
NECK = dict(type='MoCoV2Neck', in_channels=64, hid_channels=8, out_channels=4, with_avg_pool=True)
BACKBONES = {
    'ResNet': (BACKBONE, NECK),
    'Swin': (dict(type='SwinTransformer', img_size=32, patch_size=2, window_size=2,
                  arch=dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2])),
             dict(type='MoCoV2Neck', in_channels=64, hid_channels=8, out_channels=4, with_avg_pool=True)),
    'ViT': (dict(type='VisionTransformer', img_size=32, patch_size=16, out_type='cls_token',
                 arch=dict(embed_dims=8, num_layers=1, num_heads=1, feedforward_channels=8)),
            dict(type='NonLinearNeck', in_channels=8, hid_channels=8, out_channels=4, with_avg_pool=False,
                 norm_cfg=dict(type='BN1d'))),
    'no neck': (BACKBONE | dict(type='ResNet_CIFAR'), dict(type='GlobalAveragePooling')),
}


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def pic(backbone=BACKBONE, neck=NECK, in_channels=4, **kwargs):
    torch.manual_seed(0)
    model = PIC(backbone=dict(backbone), neck=dict(neck),
                head=dict(type='CosineInstanceHead', in_channels=in_channels, num_negatives=16), **kwargs)
    wrapper = WeightCorrectingOptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    wrapper.track_rows(model.head.weight, Ranks())
    model.head.allocate_rows(20, 4, wrapper, Ranks(), seed=3)
    return model, wrapper


def samples(ids, unreadable=()):
    return [DataSample(metainfo=dict(sample_idx=i, unreadable='broken' if i in unreadable else None)) for i in ids]


@pytest.mark.parametrize('name', BACKBONES)
def test_any_backbone_and_neck(name):
    backbone, neck = BACKBONES[name]
    model, wrapper = pic(backbone, neck, in_channels=64 if name == 'no neck' else 4)
    images = torch.randn(4, 3, 32, 32)
    model.head.activate(torch.arange(4))
    before = [p.clone() for p in model.parameters()]
    wrapper.update_params(model(images, samples(range(4)), mode='loss')['loss'])
    moved = [not torch.equal(a, b) for a, b in zip(before, model.parameters())]
    assert moved[-1] and sum(moved) > len(moved) / 2


def test_tensor_mode_is_the_backbone():
    model, _ = pic()
    model.eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(model(images, mode='tensor')[0], model.backbone(images)[0])


def test_views_of_several_sizes():
    model, _ = pic(num_large_views=1)
    views = [torch.randn(4, 3, 32, 32), torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16)]
    model.head.activate(torch.arange(4))
    model.loss(views, samples(range(4)))['loss'].backward()
    rows = model.head.weight.grad.clone()
    model.head.weight.grad = None
    (model.loss(views[:1], samples(range(4)))['loss'] / 3).backward()
    torch.testing.assert_close(model.head.weight.grad, rows)


def test_unreadable_images_take_no_part_in_batchnorm():
    losses, stats = [], []
    images = torch.randn(4, 3, 32, 32)
    for unreadable in ((), (2, )):
        model, _ = pic()
        ids = torch.arange(4)
        if unreadable:
            model.head.activate(torch.where(ids == 2, -3, ids))
            losses.append(model.loss(images, samples(range(4), unreadable))['loss'])
        else:
            model.head.activate(ids[[0, 1, 3]])
            losses.append(model.loss(images[[0, 1, 3]], samples([0, 1, 3]))['loss'])
        stats.append(model.backbone.bn1.running_mean.clone())
    torch.testing.assert_close(*losses)
    assert torch.equal(*stats)


@pytest.mark.parametrize('readable', [[], [2]], ids=['none', 'one'])
def test_what_has_no_statistics_trains_nothing(readable):
    model, wrapper = pic(neck=dict(type='NonLinearNeck', in_channels=64, hid_channels=8, out_channels=4,
                                   with_avg_pool=True, norm_cfg=dict(type='BN1d')))
    images, ids = torch.randn(4, 3, 32, 32), torch.arange(4)
    model.head.activate(ids)
    wrapper.update_params(model.loss(images, samples(range(4)))['loss'])  # statistics that are not those at the start
    statistics = {name: buffer.clone() for name, buffer in model.named_buffers() if 'running' in name}
    momenta = [module.momentum for module in model.modules() if hasattr(module, 'momentum')]
    mask = torch.tensor([i in readable for i in range(4)])
    model.head.activate(ids.where(mask, -1 - ids))
    model.loss(images, samples(range(4), [i for i in range(4) if i not in readable]))['loss'].backward()
    buffers = dict(model.named_buffers())
    assert statistics and all(torch.equal(buffers[name], statistics[name]) for name in statistics)
    assert [module.momentum for module in model.modules() if hasattr(module, 'momentum')] == momenta
    for parameter in model.parameters():  # there for DistributedDataParallel, and zero
        assert parameter.grad is not None and not parameter.grad.any()


def test_too_few_views():
    model, _ = pic(num_large_views=2)
    model.head.activate(torch.arange(2))
    with pytest.raises(ValueError, match='num_large_views is 2, and the pipeline gave 1 views'):
        model.loss(torch.randn(2, 3, 32, 32), samples(range(2)))
    with pytest.raises(ValueError, match='num_large_views must be positive, got'):
        pic(num_large_views=0)


def test_there_is_nothing_to_predict():
    model, _ = pic()
    for step in (model.val_step, model.test_step):
        with pytest.raises(NotImplementedError, match=r'KNNHook in custom_hooks .*tools/evaluate_features.py'):
            step(dict(inputs=torch.randn(2, 3, 32, 32), data_samples=samples([0, 1])))
