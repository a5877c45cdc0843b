"""Pascal VOC detection with mmdet: the network and the metrics."""
import pytest

pytest.importorskip('mmdet', reason='mmdet and mmcv with compiled ops are in .venv-downstream: make test-downstream')

import torch
import torchvision
from mmdet.registry import METRICS, MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import nn

from tests.checkpoints.networks import torchvision_maps
from tests.downstream.small import DETECTION
from tests.tiny import ROOT


@pytest.fixture(scope='module')
def published(resnet50):
    """The published detector, from a checkpoint, with plain BatchNorm: mmengine reverts SyncBN only in a runner."""
    cfg = Config.fromfile(ROOT / DETECTION)
    cfg.merge_from_dict({f'model.{part}.{key}': value for part in ('backbone', 'roi_head.shared_head')
                         for key, value in (('init_cfg.checkpoint', resnet50), ('norm_cfg.type', 'BN'))})
    init_default_scope('mmdet')
    import mmpretrain.models  # noqa: F401  (registers ResLayerExtraNorm, as custom_imports does)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return cfg, model


def test_every_tensor_of_the_checkpoint_arrives(published, resnet50):
    _, model = published
    backbone, head = model.backbone.state_dict(), model.roi_head.shared_head.state_dict()
    extra = {name for name in head if name.startswith('norm.')}
    assert {name.split('.')[0] for name in backbone} == {'conv1', 'bn1', 'layer1', 'layer2', 'layer3'}
    assert {name.split('.')[0] for name in head.keys() - extra} == {'layer4'} and len(extra) == 5
    arrived = {**backbone, **{name: head[name] for name in head.keys() - extra}}
    tensors = torch.load(resnet50, weights_only=True)
    assert arrived.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(arrived[name], tensor), name


def test_conv5_on_the_backbone_is_torchvisions_network(published, resnet50):
    _, model = published
    reference = torchvision.models.resnet50()
    reference.load_state_dict(torch.load(resnet50, weights_only=True), strict=False)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    model.eval()
    reference.eval()
    with torch.no_grad():
        conv4, = model.backbone(images)
        assert conv4.shape == (1, 1024, 4, 4)
        conv5 = model.roi_head.shared_head.layer4(conv4)
        torch.testing.assert_close(conv5, torchvision_maps(reference, images)[-1], rtol=1e-4, atol=1e-4)
        # and one more BatchNorm, before the pooling
        torch.testing.assert_close(model.roi_head.shared_head(conv4), model.roi_head.shared_head.norm(conv5))


def test_all_layers_are_tuned_and_batchnorm_is_not_decayed(published):
    cfg, model = published
    model.train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 53 + 1 and all(norm.training for norm in norms)
    assert all(parameter.requires_grad for parameter in model.parameters())
    of_norms = {id(parameter) for norm in norms for parameter in norm.parameters()}
    groups = build_optim_wrapper(model, cfg.optim_wrapper).param_groups
    decays = {id(parameter): group['weight_decay'] for group in groups for parameter in group['params']}
    for parameter in model.parameters():
        assert decays[id(parameter)] == (0.0 if id(parameter) in of_norms else 1e-4)


def evaluate(cfg, shift):
    """The config's metrics of three images with an object each, predicted ``shift`` pixels to the right of it."""
    init_default_scope('mmdet')
    metrics = [METRICS.build(metric) for metric in cfg.val_evaluator]
    for i in range(3):
        box = [10., 20., 109., 119.]
        truth = InstanceData(bboxes=torch.tensor([box]), labels=torch.tensor([i]))
        # a difficult object, found: neither right nor wrong
        difficult = InstanceData(bboxes=torch.tensor([[200., 20., 299., 119.]]), labels=torch.tensor([i]))
        found = InstanceData(
            bboxes=torch.tensor([[10. + shift, 20., 109. + shift, 119.], [200., 20., 299., 119.]]),
            labels=torch.tensor([i, i]), scores=torch.tensor([0.8, 0.9]))
        instances = [dict(bbox=box, bbox_label=i, ignore_flag=0),
                     dict(bbox=[200., 20., 299., 119.], bbox_label=i, ignore_flag=1)]
        sample = dict(img_id=f'00000{i}', ori_shape=(400, 400), instances=instances, gt_instances=truth,
                      ignored_instances=difficult, pred_instances=found)
        for metric in metrics:
            metric.dataset_meta = dict(classes=[f'class{c}' for c in range(20)], dataset_type=None)
            metric.process({}, [sample])
    return {name: value for metric in metrics for name, value in metric.evaluate(3).items()}


@pytest.mark.parametrize('shift, thresholds', [(0, 10), (15, 5), (40, 0)])
def test_metrics_by_counting(published, shift, thresholds):
    # boxes of w x h moved by s have IoU (w - s) / (w + s); in VOC's pixels w is 100, in COCO's 99
    cfg, _ = published
    for width in (99, 100):
        iou = (width - shift) / (width + shift)
        assert sum(iou > 0.5 + 0.05 * i for i in range(10)) == thresholds
    metrics = evaluate(cfg, shift)
    for prefix, ap, ap50, ap75 in (('coco', 'bbox_mAP', 'bbox_mAP_50', 'bbox_mAP_75'),
                                   ('pascal_voc', 'mAP', 'AP50', 'AP75')):
        assert metrics[f'{prefix}/{ap}'] == pytest.approx(thresholds / 10, abs=1e-3)
        assert metrics[f'{prefix}/{ap50}'] == pytest.approx(float(thresholds > 0), abs=1e-3)
        assert metrics[f'{prefix}/{ap75}'] == pytest.approx(float(thresholds > 5), abs=1e-3)
