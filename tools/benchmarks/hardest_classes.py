"""What it costs to find the hardest classes of all rows, once per epoch, against N, and beside an epoch of training.

The search compares every row with every other: its time grows with N^2, an epoch's with N.  The share that it takes of
an ImageNet epoch is worked out from both throughputs, measured on the same machine.
"""
import sys
from typing import Any

import numpy as np
import torch
from heads import SGD, TEMPERATURE
from measure import machine, medians, parse_args, report, seconds_of
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

import pic_plugin.models  # noqa: F401  (registers PIC)
from pic_plugin.engine import WeightCorrectingOptimWrapper
from pic_plugin.models import CosineInstanceHead
from pic_plugin.sharding import Ranks

_IMAGENET, _VIEWS = 1281167, 2


class Search:
    """A head with all classes whose hardest are asked for."""

    def __init__(self, num_instances: int, args: Any, device: str) -> None:
        self.head = CosineInstanceHead(None, args.channels, TEMPERATURE, label_smoothing=0.2,
                                       num_hard_classes=args.hard_classes).to(device)
        wrapper = WeightCorrectingOptimWrapper(torch.optim.SGD(self.head.parameters(), **SGD))
        wrapper.track_rows(self.head.weight, Ranks())
        self.head.allocate_rows(num_instances, 1, wrapper, Ranks(), 0)

    def seconds(self) -> float:
        """Of one search."""
        return seconds_of(self.head.find_hard_classes)  # its result is on the host: nothing is left to wait for


class Backbone:
    """Forward and backward of a ResNet-50 with PIC's neck, which is nearly all of a training step."""

    def __init__(self, args: Any, device: str) -> None:
        init_default_scope('mmpretrain')
        self.network = torch.nn.ModuleDict({
            'backbone': MODELS.build(dict(type='ResNet', depth=50)),
            'neck': MODELS.build(dict(type='MoCoV2Neck', in_channels=2048, hid_channels=2048,
                                      out_channels=args.channels))}).to(device)
        self.views = torch.randn(args.batch_size, 3, args.size, args.size, device=device)

    def seconds(self) -> float:
        """Of one step."""
        return seconds_of(self._step)

    def _step(self) -> None:
        features = self.network['neck'](self.network['backbone'](self.views))[0]
        features.sum().backward()
        if self.views.is_cuda:
            torch.cuda.synchronize()


def main() -> None:
    """Measure both, and hold one against the other."""
    args = parse_args(str(__doc__), num_instances=[8192, 16384, 32768, 65536], channels=128, hard_classes=100,
                      batch_size=8, size=224, repeats=3)
    torch.set_num_threads(machine()['cores'])
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    rows = []
    for num_instances in args.num_instances:
        search = Search(num_instances, args, device)
        seconds = medians({'search': search.seconds}, args.repeats, warm=1)['search']
        rows.append({'N': num_instances, 'seconds': seconds, 'pairs per second': num_instances**2 / seconds,
                     'microseconds per row': 1e6 * seconds / num_instances})
        print(f'N = {num_instances}: {seconds:.2f} s', file=sys.stderr)
    backbone = Backbone(args, device)
    views_per_second = args.batch_size / medians({'step': backbone.seconds}, args.repeats, warm=1)['step']
    pairs_per_second = rows[-1]['pairs per second']
    search_seconds = _IMAGENET**2 / pairs_per_second
    epoch_seconds = _IMAGENET * _VIEWS / views_per_second
    exponent = np.polyfit(np.log([row['N'] for row in rows]), np.log([row['seconds'] for row in rows]), 1)[0]
    report(args.out, 'hardest_classes', rows, {
        'seconds grow as N to the power of': float(exponent),
        f'ResNet-50 at {args.size} px, views per second': views_per_second,
        f'search over N = {_IMAGENET}, from its pairs per second, in hours on one such device': search_seconds / 3600,
        f'epoch of {_IMAGENET} images, {_VIEWS} views each, in hours on one such device': epoch_seconds / 3600,
        'search / epoch, on any number of devices': search_seconds / epoch_seconds,
    })


if __name__ == '__main__':
    main()
