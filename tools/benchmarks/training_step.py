"""The whole training step: what PIC adds to a supervised one, and what a view costs with MoCo v2 and with SimCLR.

The images are at hand: reading and augmenting them is left out.  By default it is ResNet-50 at 224 px where there is a
GPU, and something smaller where there is none.
"""
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from heads import sliding_window
from measure import medians, parse_args, report, seconds_of
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

import pic_plugin.models  # noqa: F401  (registers PIC)
from pic_plugin.engine import AmpWeightCorrectingOptimWrapper, WeightCorrectingOptimWrapper
from pic_plugin.rows import RowState
from pic_plugin.sharding import Ranks

_CHANNELS, _CLASSES = 128, 1000
SUPERVISED, WITH_NECK = 'supervised', "supervised, with PIC's neck"
PIC, ALL_CLASSES = 'PIC', 'PIC, all classes'
_SGD: dict[str, Any] = dict(lr=0.06, momentum=0.9, weight_decay=1e-4)
_STEPS_BEFORE = 20000  # in the log of steps
_WARM = 2


def configs(backbone: dict, width: int, negatives: int) -> dict[str, dict]:
    """The models, in size as in our config and in mmpretrain's for ResNet-50; MoCo's queue is as long as K.

    Args:
        backbone: its last features are ``[B, width, H, W]``, or ``[B, width]`` of a transformer.
        width: of the features.
        negatives: K.
    """
    normalise: dict[str, Any] = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
    labelled = dict(type='ClsDataPreprocessor', **normalise)
    unlabelled = dict(type='SelfSupDataPreprocessor', **normalise)
    maps = 'ResNet' in backbone['type']
    pool = dict(type='GlobalAveragePooling') if maps else None
    sizes: dict[str, Any] = dict(in_channels=width, hid_channels=width, out_channels=_CHANNELS, with_avg_pool=maps)
    neck = dict(type='MoCoV2Neck', **sizes)
    simclr_neck = dict(type='NonLinearNeck', **sizes, norm_cfg=dict(type='BN1d'))
    classifier = dict(type='LinearClsHead', num_classes=_CLASSES)
    instances = dict(type='CosineInstanceHead', in_channels=_CHANNELS, temperature=0.2)
    contrast = dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2)
    pic = dict(type='PIC', backbone=backbone, neck=neck,
               data_preprocessor=dict(type='InstanceDataPreprocessor', **normalise))
    return {
        SUPERVISED: dict(type='ImageClassifier', backbone=backbone, neck=pool,
                         head=dict(**classifier, in_channels=width), data_preprocessor=labelled),
        WITH_NECK: dict(type='ImageClassifier', backbone=backbone, neck=neck,
                        head=dict(**classifier, in_channels=_CHANNELS), data_preprocessor=labelled),
        PIC: dict(**pic, head=dict(**instances, num_negatives=negatives)),
        ALL_CLASSES: dict(**pic, head=dict(**instances, num_negatives=None)),
        'MoCo v2': dict(type='MoCo', backbone=backbone, neck=neck, head=contrast, queue_len=negatives,
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
        bf16: whether in mixed precision, which needs a GPU.
    """
    wrappers: tuple[type[OptimWrapper], type[OptimWrapper]] = OptimWrapper, AmpOptimWrapper

    def __init__(self, config: dict, views: Any, batches: list[Tensor], bf16: bool = False) -> None:
        self.views = views
        self.model = MODELS.build(config).to(views[0].device).train()
        if views[0].is_cuda:  # as our configs have it
            self.model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(self.model.parameters(), fused=True, **_SGD)
        plain, amp = self.wrappers
        self.wrapper: Any = plain(optimizer=optimizer) if not bf16 else \
            amp(optimizer=optimizer, dtype='bfloat16', loss_scale=dict(enabled=False))
        self.samples = iter([self.data_samples(ids) for ids in batches])

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
    """PIC, in the state of a long run: K classes are active, and the rows that come were away; or all are active."""
    wrappers = WeightCorrectingOptimWrapper, AmpWeightCorrectingOptimWrapper

    def __init__(self, config: dict, views: Any, batches: list[Tensor], num_instances: int, bf16: bool = False) -> None:
        super().__init__(config, views, batches, bf16)
        head = self.model.head
        steps = torch.tensor([list(_SGD.values())], dtype=torch.float64).repeat(_STEPS_BEFORE, 1)
        self.wrapper.step_log.load_state_dict({'steps': steps})
        self.wrapper.track_rows(head.weight, Ranks())
        head.allocate_rows(num_instances, len(batches[0]), self.wrapper, Ranks(), seed=0)
        self.batches = iter(zip(batches, batches[1:]))  # and the next one's, whose rows are read ahead
        if head.num_negatives is None:
            return
        head.activate(sliding_window(num_instances, 0, head.num_negatives))
        upcoming = torch.cat(batches).unique()
        records = torch.randn(2, len(upcoming), _CHANNELS) * head.init_std
        clock = torch.randint(0, _STEPS_BEFORE, (len(upcoming), ))
        head.allocated.rows.table.write(upcoming, RowState(records[0], records[1], clock))

    def __call__(self) -> None:
        """One step, with the rows' moves."""
        self.model.head.activate(*next(self.batches))
        super().__call__()


def build(models: dict[str, dict], views: list[Tensor], batches: list[Tensor], num_instances: int,
          bf16: bool = False) -> Iterator[tuple[str, int, Step]]:
    """Each step, one after the other: its name, how many views it takes, and the step.

    Args:
        models: configs, by name.
        views: two of them, ``[B, 3, H, W]``.
        batches: the ids of each step.
        num_instances: N.
        bf16: whether in mixed precision.
    """
    for name, config in models.items():
        if config['type'] == 'ImageClassifier':
            yield name, 1, Supervised(config, views[0], batches, bf16)
        elif config['type'] == 'PIC':
            yield name, 1, Instances(config, views[0], batches, num_instances, bf16)
        else:
            yield name, len(views), Step(config, views, batches, bf16)
        print(f'built {name}', file=sys.stderr)


def inputs(args: Any, num_steps: int) -> tuple[list[Tensor], list[Tensor]]:
    """Two views, on a GPU where there is one, and the ids of each step's batch, and of one that would come next."""
    shape = args.batch_size, 3, args.image_size, args.image_size
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    views = [torch.randint(0, 256, shape, dtype=torch.uint8, device=device) for _ in range(2)]
    ids = sliding_window(args.num_instances, args.negatives, (num_steps + 1) * args.batch_size)
    return views, list(ids.split(args.batch_size))


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
    models = configs(dict(type='ResNet', depth=args.depth, zero_init_residual=True), 2048 if args.depth >= 50 else 512,
                     args.negatives)
    del models[ALL_CLASSES]
    steps = list(build(models, *inputs(args, _WARM + args.repeats), args.num_instances))
    seconds = medians({name: timed(name, step) for name, _, step in steps}, args.repeats, _WARM)
    per_view = {name: seconds[name] / views for name, views, _ in steps}
    rows = [{'step': name, 'views': views, 'seconds': seconds[name],
             'x supervised': seconds[name] / seconds[SUPERVISED], 'seconds per view': per_view[name],
             'x PIC, per view': per_view[name] / per_view[PIC]}
            for name, views, _ in steps]
    report(args.out, 'training_step', rows, {
        'setting': f'ResNet-{args.depth}, {args.image_size} px, B = {args.batch_size}, float32, K = {args.negatives}, '
                   f'N = {args.num_instances}; median of {args.repeats} steps',
        'PIC adds to the supervised step': f'{seconds[PIC] / seconds[SUPERVISED] - 1:.1%}',
        "of which beyond PIC's neck": f'{(seconds[PIC] - seconds[WITH_NECK]) / seconds[SUPERVISED]:.1%}',
    })


if __name__ == '__main__':
    main()
