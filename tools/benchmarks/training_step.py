"""The whole training step: what PIC adds to a supervised one, and what a view costs with MoCo v2 and with SimCLR.

The images are at hand: reading and augmenting them is left out.  By default it is ResNet-50 at 224 px where there is a
GPU, and something smaller where there is none.
"""
import sys
from collections.abc import Callable
from typing import Any

import torch
from heads import sliding_window
from measure import medians, parse_args, report, seconds_of
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

import pic_plugin.models  # noqa: F401  (registers PIC)
from pic_plugin.engine import WeightCorrectingOptimWrapper
from pic_plugin.rows import RowState
from pic_plugin.sharding import Ranks

_CHANNELS, _CLASSES = 128, 1000
_SUPERVISED, _WITH_NECK, _PIC = 'supervised', "supervised, with PIC's neck", 'PIC'
_SGD: dict[str, Any] = dict(lr=0.06, momentum=0.9, weight_decay=1e-4)
_STEPS_BEFORE = 20000  # in the log of steps
_WARM = 2


def configs(args: Any) -> dict[str, dict]:
    """The models, in size as in our config and in mmpretrain's for ResNet-50; MoCo's queue is as long as K."""
    normalise: dict[str, Any] = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
    labelled = dict(type='ClsDataPreprocessor', **normalise)
    unlabelled = dict(type='SelfSupDataPreprocessor', **normalise)
    backbone = dict(type='ResNet', depth=args.depth, zero_init_residual=True)
    width = 2048 if args.depth >= 50 else 512
    pool = dict(type='GlobalAveragePooling')
    neck = dict(type='MoCoV2Neck', in_channels=width, hid_channels=width, out_channels=_CHANNELS)
    simclr_neck = dict(type='NonLinearNeck', in_channels=width, hid_channels=width, out_channels=_CHANNELS,
                       norm_cfg=dict(type='BN1d'))
    classifier = dict(type='LinearClsHead', num_classes=_CLASSES)
    instances = dict(type='CosineInstanceHead', in_channels=_CHANNELS, num_negatives=args.negatives, temperature=0.2)
    contrast = dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2)
    return {
        _SUPERVISED: dict(type='ImageClassifier', backbone=backbone, neck=pool,
                          head=dict(**classifier, in_channels=width), data_preprocessor=labelled),
        _WITH_NECK: dict(type='ImageClassifier', backbone=backbone, neck=neck,
                         head=dict(**classifier, in_channels=_CHANNELS), data_preprocessor=labelled),
        _PIC: dict(type='PIC', backbone=backbone, neck=neck, head=instances, data_preprocessor=unlabelled),
        'MoCo v2': dict(type='MoCo', backbone=backbone, neck=neck, head=contrast, queue_len=args.negatives,
                        feat_dim=_CHANNELS, data_preprocessor=unlabelled),
        'SimCLR': dict(type='SimCLR', backbone=backbone, neck=simclr_neck, head=contrast,
                       data_preprocessor=unlabelled),
    }


class Step:
    """Trains a model on batches of which only the ids differ.

    Args:
        config: of the model.
        views: images ``[B, 3, H, W]``, on the device that trains; a list of them where the model wants several.
        batches: the ids of each step.
    """

    def __init__(self, config: dict, views: Any, batches: list[Tensor]) -> None:
        self.views = views
        self.model = MODELS.build(config).to(views[0].device).train()
        self.wrapper = self.wrap(torch.optim.SGD(self.model.parameters(), fused=True, **_SGD))
        self.samples = iter([self.data_samples(ids) for ids in batches])

    def wrap(self, optimizer: torch.optim.Optimizer) -> OptimWrapper:
        """Of the kind that the model needs."""
        return OptimWrapper(optimizer)

    def data_samples(self, ids: Tensor) -> list[DataSample]:
        """What the model learns of the images: their indices."""
        return [DataSample(metainfo=dict(sample_idx=i)) for i in ids.tolist()]

    def __call__(self) -> None:
        """One step."""
        self.model.train_step({'inputs': self.views, 'data_samples': next(self.samples)}, self.wrapper)


class Supervised(Step):
    """Also tells the labels."""

    def data_samples(self, ids: Tensor) -> list[DataSample]:
        """What the model learns of the images: their labels."""
        return [DataSample().set_gt_label(i % _CLASSES) for i in ids.tolist()]


class Instances(Step):
    """PIC, in the state of a long run: K classes are active, and the rows that come were away."""

    def __init__(self, config: dict, views: Any, batches: list[Tensor], num_instances: int) -> None:
        super().__init__(config, views, batches)
        head = self.model.head
        steps = torch.tensor([list(_SGD.values())], dtype=torch.float64).repeat(_STEPS_BEFORE, 1)
        self.wrapper.step_log.load_state_dict({'steps': steps})
        self.wrapper.track_rows(head.weight, Ranks())
        head.allocate_rows(num_instances, len(batches[0]), self.wrapper, Ranks(), seed=0)
        head.activate(sliding_window(num_instances, 0, head.num_negatives))
        upcoming = torch.cat(batches).unique()
        records = torch.randn(2, len(upcoming), _CHANNELS) * head.init_std
        clock = torch.randint(0, _STEPS_BEFORE, (len(upcoming), ))
        head.allocated.rows.table.write(upcoming, RowState(records[0], records[1], clock))
        self.ids = iter(batches)

    def wrap(self, optimizer: torch.optim.Optimizer) -> OptimWrapper:
        """With a log of steps."""
        return WeightCorrectingOptimWrapper(optimizer)

    def __call__(self) -> None:
        """One step, with the rows' moves."""
        self.model.head.activate(next(self.ids))
        super().__call__()


def build(args: Any) -> dict[str, tuple[int, Step]]:
    """Each step, and how many views it takes."""
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    shape = args.batch_size, 3, args.image_size, args.image_size
    views = [torch.randint(0, 256, shape, dtype=torch.uint8, device=device) for _ in range(2)]
    num_samples = (_WARM + args.repeats) * args.batch_size
    batches = list(sliding_window(args.num_instances, args.negatives, num_samples).split(args.batch_size))
    steps: dict[str, tuple[int, Step]] = {}
    for name, config in configs(args).items():
        if config['type'] == 'ImageClassifier':
            steps[name] = 1, Supervised(config, views[0], batches)
        elif config['type'] == 'PIC':
            steps[name] = 1, Instances(config, views[0], batches, args.num_instances)
        else:
            steps[name] = len(views), Step(config, views, batches)
        print(f'built {name}', file=sys.stderr)
    return steps


def timed(name: str, step: Step) -> Callable[[], float]:
    """The seconds of a step, until the device has made it."""

    def whole() -> None:
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    def run() -> float:
        seconds = seconds_of(whole)
        print(f'{name}: {seconds:.4f} s', file=sys.stderr)
        return seconds

    return run


def main() -> None:
    """Measure all steps in turn, and report."""
    large = torch.cuda.is_available()
    args = parse_args(str(__doc__), depth=50 if large else 18, image_size=224 if large else 64,
                      batch_size=64 if large else 32, negatives=65536, num_instances=1281167,
                      repeats=30 if large else 7)
    torch.manual_seed(0)
    init_default_scope('mmpretrain')
    steps = build(args)
    seconds = medians({name: timed(name, step) for name, (_, step) in steps.items()}, args.repeats, _WARM)
    per_view = {name: seconds[name] / views for name, (views, _) in steps.items()}
    rows = [{'step': name, 'views': views, 'seconds': seconds[name],
             'x supervised': seconds[name] / seconds[_SUPERVISED], 'seconds per view': per_view[name],
             'x PIC, per view': per_view[name] / per_view[_PIC]}
            for name, (views, _) in steps.items()]
    report(args.out, 'training_step', rows, {
        'setting': f'ResNet-{args.depth}, {args.image_size} px, B = {args.batch_size}, float32, K = {args.negatives}, '
                   f'N = {args.num_instances}; median of {args.repeats} steps',
        'PIC adds to the supervised step': f'{seconds[_PIC] / seconds[_SUPERVISED] - 1:.1%}',
        "of which beyond PIC's neck": f'{(seconds[_PIC] - seconds[_WITH_NECK]) / seconds[_SUPERVISED]:.1%}',
    })


if __name__ == '__main__':
    main()
