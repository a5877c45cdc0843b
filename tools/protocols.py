"""The protocols of benchmark_suite.py: their configs, what they measure, and what the papers report.

PIC: Cao et al., NeurIPS 2020.  Liu et al.: AAAI 2021.  The other rows are as these two quote them.
"""
from typing import NamedTuple, Optional

Figures = tuple[Optional[float], ...]  # of the first metrics; None where none is published


class Metric(NamedTuple):
    """A column of a table."""
    heading: str
    key: str  # as the evaluator logs it
    unit: float = 1.0  # that times this is percent


class Protocol(NamedTuple):
    """A config, and what is known of its outcome."""
    name: str  # for --only, and of its folder
    config: str  # below configs/
    heading: str  # before its columns
    metrics: tuple[Metric, ...]
    published: dict[str, Figures]


class Table(NamedTuple):
    """Protocols whose figures stand side by side."""
    title: str
    protocols: tuple[Protocol, ...]


TOP1 = Metric('top-1', 'accuracy/top1')
TOP5 = Metric('top-5', 'accuracy/top5')
# Detectron2's for VOC2007, 11 recalls at COCO's thresholds, which the papers report; then COCO's own, 101 recalls
DETECTION = (Metric('AP', 'pascal_voc/mAP', 100), Metric('AP50', 'pascal_voc/AP50', 100),
             Metric('AP75', 'pascal_voc/AP75', 100), Metric("COCO's AP", 'coco/bbox_mAP', 100),
             Metric("COCO's AP50", 'coco/bbox_mAP_50', 100), Metric("COCO's AP75", 'coco/bbox_mAP_75', 100))


def _table10(name: str, heading: str, scratch: float, supervised: float, simclr: float, liu: float) -> Protocol:
    return Protocol(name, f'benchmarks/finetune/finetune_r50_8xb32_20k_{name}.py', heading, (TOP1, ), {
        'scratch': (scratch, ), 'supervised': (supervised, ), 'SimCLR': (simclr, ), 'Liu et al.': (liu, )})


IMAGENET = (
    Table('Linear evaluation on ImageNet (Table 6 of both papers)', (
        Protocol('linear', 'benchmarks/linear/linear_r50_8xb32_100e_in1k.py', 'batch 256, lr 30:', (TOP1, TOP5), {
            'SimCLR': (69.3, 89.0), 'MoCo v2': (71.1, None), 'PIC': (70.8, 90.0)}),
        Protocol('linear-lr40', 'benchmarks/linear/linear_r50_8xb256-lr40_100e_in1k.py', 'batch 2048, lr 40:',
                 (TOP1, TOP5), {'supervised': (76.3, 93.1), 'Liu et al.': (71.4, 90.3)}),
    )),
    Table('Semi-supervised classification of ImageNet (Table 7 of both papers)', (
        Protocol('semi-1percent', 'benchmarks/semi_supervised/semi_r50_8xb32_10e_in1k-1percent.py', '1 % of labels:',
                 (TOP5, ), {'supervised': (48.4, ), 'PIRL': (57.2, ), 'SimCLR': (75.5, ), 'PIC': (77.1, ),
                            'Liu et al.': (81.8, )}),
        Protocol('semi-10percent', 'benchmarks/semi_supervised/semi_r50_8xb32_20e_in1k-10percent.py',
                 '10 % of labels:', (TOP5, ), {'supervised': (80.4, ), 'PIRL': (83.8, ), 'SimCLR': (87.8, ),
                                               'PIC': (88.7, ), 'Liu et al.': (89.2, )}),
    )),
    Table("Transfer (PIC's Table 8; Tables 8 and 9 of Liu et al.)", (
        Protocol('inat2018', 'benchmarks/finetune/finetune_r50_8xb32_100e_inat2018.py', 'iNaturalist 18:',
                 (TOP1, TOP5), {'scratch': (65.4, 85.5), 'supervised': (66.0, 85.6), 'MoCo': (65.7, 85.7),
                                'PIC': (66.2, 85.7), 'Liu et al.': (66.2, 86.2)}),
        # MoCo's row is PIC's; Liu et al. quote 55.9, 81.5 and 62.6 for it
        Protocol('voc', 'detection/faster-rcnn_r50-c4_24k_voc0712.py', 'Pascal VOC:', DETECTION, {
            'scratch': (33.8, 60.2, 33.1), 'supervised': (53.5, 81.3, 58.8), 'MoCo': (57.0, 82.4, 63.6),
            'MoCo v2': (57.4, 82.5, 64.0), 'PIC': (57.1, 82.4, 63.4), 'Liu et al.': (57.2, 82.2, 64.0)}),
        Protocol('cityscapes', 'segmentation/fcn_r50-d16_60k_cityscapes-769x769.py', 'Cityscapes:',
                 (Metric('mIoU', 'mIoU'), ), {'scratch': (72.7, ), 'supervised': (75.7, ), 'MoCo': (76.4, ),
                                              'PIC': (76.6, )}),
    )),
    Table('More transfer (Table 10 of Liu et al., who give no settings: these are ours)', (
        _table10('cifar10', 'CIFAR-10:', 95.9, 97.5, 97.7, 97.8),
        _table10('cifar100', 'CIFAR-100:', 80.2, 86.4, 85.9, 86.2),
        _table10('sun397', 'SUN397:', 53.6, 64.3, 63.5, 64.2),
        _table10('dtd', 'DTD:', 64.8, 74.6, 73.2, 77.6),
    )),
)

DIGITS = (
    Table("The protocols in small: scikit-learn's digits, for which nothing is published", (
        Protocol('linear', 'benchmarks/linear/linear_r18-3stage-w32_1xb256_20e_digits.py', 'linear:', (TOP1, ), {}),
        Protocol('semi-10percent', 'benchmarks/semi_supervised/semi_r18-3stage-w32_1xb32_20e_digits-10percent.py',
                 '10 % of labels:', (TOP1, ), {}),
        Protocol('cosine', 'benchmarks/finetune/finetune_r18-3stage-w32_1xb64_5e_digits-cosine.py',
                 'fine-tuning, cosine classifier:', (TOP1, ), {}),
        Protocol('finetune', 'benchmarks/finetune/finetune_r18-3stage-w32_1xb64_100_digits.py', 'fine-tuning:',
                 (TOP1, ), {}),
    )),
)

SUITES = {'imagenet': IMAGENET, 'digits': DIGITS}
