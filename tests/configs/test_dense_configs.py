"""Detection and segmentation have the papers' settings.  Without mmdet and mmseg: the configs are read, not built."""
from pathlib import Path

import pytest
from mmengine.config import Config

from pic_plugin.datasets import missing_data
from tests.downstream.small import OPTIONS, PRETRAINING, pretraining_options
from tests.tiny import ROOT

DETECTION = ROOT / 'configs/detection/faster-rcnn_r50-c4_24k_voc0712.py'
SEGMENTATION = ROOT / 'configs/segmentation/fcn_r50-d16_60k_cityscapes-769x769.py'


@pytest.fixture(params=[DETECTION, SEGMENTATION], ids=lambda path: path.parent.name)
def cfg(request):
    return Config.fromfile(request.param)


def test_detection_is_that_of_appendix_c():
    cfg = Config.fromfile(DETECTION)
    backbone, head = cfg.model.backbone, cfg.model.roi_head.shared_head
    # R50-C4: the backbone ends with conv4, the box head is conv5 and one more BatchNorm
    assert (backbone.depth, backbone.num_stages, backbone.out_indices) == (50, 3, (2, ))
    assert (head.type, head.depth, head.stage) == ('ResLayerExtraNorm', 50, 3)
    # all layers are tuned
    assert backbone.frozen_stages == -1 and not backbone.norm_eval and not head.norm_eval
    # trainval07+12 and test2007
    sets = [dataset.ann_file for dataset in cfg.train_dataloader.dataset.datasets]
    assert sets == ['VOC2007/ImageSets/Main/trainval.txt', 'VOC2012/ImageSets/Main/trainval.txt']
    assert cfg.val_dataloader.dataset.ann_file == 'VOC2007/ImageSets/Main/test.txt'
    assert cfg.model.roi_head.bbox_head.num_classes == 20
    # scales of 480 to 800 in training, 800 in testing
    sides = [short for _, short in cfg.train_pipeline[2].scales]
    assert (min(sides), max(sides)) == (480, 800) and cfg.test_pipeline[1].scale == (1333, 800)
    # 24k iterations of 16 images; 0.02, a tenth of it from 18k and 22k on
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[1].end == 24000
    assert cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size == 16
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4)
    assert (cfg.param_scheduler[1].milestones, cfg.param_scheduler[1].gamma) == ([18000, 22000], 0.1)


def test_detection_is_measured_as_in_coco_and_as_in_voc():
    coco, voc = Config.fromfile(DETECTION).val_evaluator
    assert (coco.type, coco.metric_items) == ('CocoMetric', ['mAP', 'mAP_50', 'mAP_75']) and 'iou_thrs' not in coco
    assert (voc.type, voc.eval_mode, len(voc.iou_thrs)) == ('VOCMetric', '11points', 10)
    assert [round(100 * iou) for iou in voc.iou_thrs] == list(range(50, 100, 5))


def test_segmentation_is_that_of_appendix_c():
    cfg = Config.fromfile(SEGMENTATION)
    backbone, head = cfg.model.backbone, cfg.model.decode_head
    # conv5 has dilation 2 and stride 1, the first block too
    assert (backbone.depth, backbone.strides, backbone.dilations) == (50, (1, 2, 2, 1), (1, 1, 1, 2))
    assert not backbone.contract_dilation and not backbone.norm_eval
    # two more 3x3 convolutions of 256 channels with dilation 6, then 1x1
    assert head.type == 'FCNHead' and not head.concat_input and head.dropout_ratio == 0
    assert (head.num_convs, head.kernel_size, head.channels, head.dilation, head.num_classes) == (2, 3, 256, 6, 19)
    # scaling by 0.5 to 2, crops of 769, flips; nothing else
    assert [step.type for step in cfg.train_pipeline] == ['LoadImageFromFile', 'LoadAnnotations', 'RandomResize',
                                                          'RandomCrop', 'RandomFlip', 'PackSegInputs']
    assert (cfg.train_pipeline[2].scale, cfg.train_pipeline[2].ratio_range) == ((2048, 1024), (0.5, 2.0))
    assert cfg.train_pipeline[3].crop_size == cfg.model.data_preprocessor.size == (769, 769)
    # the whole image, at its own size
    assert cfg.model.test_cfg.mode == 'whole' and 'Resize' not in [step.type for step in cfg.test_pipeline]
    assert [loader.dataset.data_prefix.seg_map_path for loader in (cfg.train_dataloader, cfg.val_dataloader)] == [
        'gtFine/train', 'gtFine/val']
    # 60k iterations of 8 images; 0.01, cosine
    assert cfg.train_cfg.max_iters == 60000 and cfg.param_scheduler == [
        dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=60000, T_max=60000)]
    assert cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size == 8
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)


def test_batchnorm_is_synchronised_everywhere(cfg):
    model = str(cfg.model.to_dict())
    assert model.count("'norm_cfg': {'type': 'SyncBN', ") == model.count("'norm_cfg'") == 2


def test_checkpoint_comes_from_the_environment_and_is_checked(cfg, monkeypatch):
    assert cfg.model.backbone.init_cfg == dict(type='Pretrained', checkpoint='none')
    assert [hook.type for hook in cfg.custom_hooks] == ['mmpretrain.CheckBackboneHook']
    monkeypatch.setenv('CHECKPOINT', 'some/backbone.pth')
    cfg = Config.fromfile(cfg.filename)
    assert cfg.model.backbone.init_cfg.checkpoint == 'some/backbone.pth'
    if 'roi_head' in cfg.model:
        assert cfg.model.roi_head.shared_head.init_cfg == cfg.model.backbone.init_cfg


@pytest.mark.parametrize('path, there, missing', [
    (DETECTION, ['VOC2007/ImageSets/Main/trainval.txt', 'VOC2007/ImageSets/Main/test.txt'],
     ['VOC2012/ImageSets/Main/trainval.txt', 'VOC2012/']),
    (SEGMENTATION, ['leftImg8bit/train/x', 'leftImg8bit/val/x', 'gtFine/val/x'], ['gtFine/train']),
], ids=['detection', 'segmentation'])
def test_what_is_missing_of_the_data_is_named(path, there, missing, tmp_path, monkeypatch):
    cfg = Config.fromfile(path)
    monkeypatch.chdir(tmp_path)
    assert {line.split(':')[0] for line in missing_data(cfg)} == {f'there is no {cfg.data_root}'}
    for name in there:
        file = Path(cfg.data_root, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert [line.split(',')[0] for line in missing_data(cfg)] == [
        f'there is no {cfg.data_root}{name}' for name in missing]


@pytest.mark.parametrize('path, options', [
    (PRETRAINING, pretraining_options(Path('scenes'), 10)),
    *((path, options(Path('shapes'), 100)) for path, options in OPTIONS.items()),
])
def test_the_small_trainings_change_what_is_there(path, options):
    # --cfg-options would add a key that is nowhere read
    cfg = Config.fromfile(ROOT / path)
    replaced = tuple(key.removesuffix('_delete_') for key in options if key.endswith('._delete_'))
    for key in options:
        if key.startswith(replaced):
            continue
        *parents, name = key.split('.')
        value = cfg
        for part in parents:
            value = value[int(part) if isinstance(value, list) else part]
        assert name in value, key
