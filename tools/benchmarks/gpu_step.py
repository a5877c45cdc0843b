"""The training step on a GPU: ResNet-50 and ViT-S, supervised, PIC with recent and with all classes, MoCo v2, SimCLR.

In float32, TF32 and bf16, with the head's time by part and the peak of the memory.  The images are in the GPU's memory:
reading and augmenting them is left out.  Without a GPU it runs small networks on small images, in float32, to be seen
to work.
"""
import gc
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Optional

import torch
from measure import medians, parse_args, report
from mmengine.registry import init_default_scope
from torch import Tensor
from training_step import ALL_CLASSES, PIC, SUPERVISED, WITH_NECK, Instances, Step, build, configs, inputs, timed

_WARM = 5
_PRECISIONS = ('float32', 'TF32', 'bf16')


def backbones(large: bool) -> dict[str, tuple[dict, int]]:
    """Configs, and the width of the features."""
    vit: dict[str, Any] = dict(type='VisionTransformer', patch_size=16, out_type='cls_token')
    if large:
        return {'ResNet-50': (dict(type='ResNet', depth=50, zero_init_residual=True), 2048),
                'ViT-S': (dict(**vit, arch='deit-small'), 384)}
    arch = dict(embed_dims=64, num_layers=2, num_heads=2, feedforward_channels=128)
    return {'ResNet-18': (dict(type='ResNet', depth=18, zero_init_residual=True), 512),
            'ViT of 2 layers': (dict(**vit, arch=arch), 64)}


def use(precision: str) -> None:
    """Products and convolutions in float32, or in TF32 where they are not in bf16."""
    torch.set_float32_matmul_precision('highest' if precision == 'float32' else 'high')
    torch.backends.cudnn.allow_tf32 = precision != 'float32'


def wait() -> None:
    """Until the device has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def allocated(peak: bool = False) -> int:
    """Bytes of tensors on the GPU, 0 where there is none."""
    if not torch.cuda.is_available():
        return 0
    return torch.cuda.max_memory_allocated() if peak else torch.cuda.memory_allocated()


def parts_of(step: Instances, features: Tensor, repeats: int) -> dict[str, float]:
    """Median seconds of each part of a head's step, on features ``[1, B, D]`` that no network computed.

    Each part until the device has done it: what the parts would hide from each other is not hidden.
    """
    head, wrapper = step.model.head, step.wrapper
    features.requires_grad_()
    seconds: dict[str, list[float]] = {part: [] for part in ('activate', 'forward', 'backward', 'optimizer')}

    def timed_part(part: str, function: Callable[..., Any], *args: Any) -> Any:
        wait()
        start = time.perf_counter()
        result = function(*args)
        wait()
        seconds[part].append(time.perf_counter() - start)
        return result

    for _ in range(_WARM + repeats):
        ids, upcoming = next(step.batches)
        timed_part('activate', head.activate, ids, upcoming)
        loss = timed_part('forward', head.loss, features, ids)
        timed_part('backward', wrapper.backward, loss)
        timed_part('optimizer', wrapper.step)
        wrapper.zero_grad()
    return {part: statistics.median(values[_WARM:]) for part, values in seconds.items()}


def measure(name: str, backbone: dict, width: int, precision: str, args: Any) -> tuple[list[dict], list[dict]]:
    """A row for each step, and one for each head."""
    use(precision)
    views, batches = inputs(args, 2 * (_WARM + args.repeats + 1))
    models = configs(backbone, width, args.negatives)
    del models[WITH_NECK]
    steps: dict[str, tuple[int, Step]] = {}
    peaks: dict[str, Optional[float]] = {}
    before = allocated()
    for step_name, num_views, step in build(models, views, batches, args.num_instances, precision == 'bf16'):
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        step()
        step()  # the first one had no momenta
        peaks[step_name] = (allocated(peak=True) - before) / 1e6 if torch.cuda.is_available() else None
        before = allocated()
        steps[step_name] = num_views, step
    seconds = medians({key: timed(f'{name}, {precision}, {key}', step) for key, (_, step) in steps.items()},
                      args.repeats, _WARM)
    rows = [{'backbone': name, 'precision': precision, 'step': key, 'views': num_views, 'ms': 1000 * seconds[key],
             'images per second': args.batch_size / seconds[key],
             'x supervised': seconds[key] / seconds[SUPERVISED], 'peak MB': peaks[key]}
            for key, (num_views, _) in steps.items()]
    heads = []
    for key in (PIC, ALL_CLASSES):
        step = steps[key][1]
        assert isinstance(step, Instances)
        features = torch.randn(1, args.batch_size, step.model.head.weight.shape[1], device=views[0].device)
        of_part = parts_of(step, features.bfloat16() if precision == 'bf16' else features, args.repeats)
        whole = sum(of_part.values())
        heads.append({'backbone': name, 'precision': precision, 'head': key,
                      **{f'{part}, ms': 1000 * value for part, value in of_part.items()}, 'in all, ms': 1000 * whole,
                      'x supervised step': whole / seconds[SUPERVISED]})
    return rows, heads


def main() -> None:
    """Measure each backbone in each precision, and report."""
    large = torch.cuda.is_available()
    args = parse_args(str(__doc__), image_size=224 if large else 64, batch_size=64 if large else 8, negatives=65536,
                      num_instances=1281167, repeats=30 if large else 3)
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    init_default_scope('mmpretrain')
    rows, heads = [], []
    for name, (backbone, width) in backbones(large).items():
        if backbone['type'] == 'VisionTransformer':
            backbone['img_size'] = args.image_size
        for precision in _PRECISIONS if large else _PRECISIONS[:1]:
            print(f'{name}, {precision}', file=sys.stderr)
            of_steps, of_heads = measure(name, backbone, width, precision, args)
            rows += of_steps
            heads += of_heads
            gc.collect()  # models have circles of references
    setting = {'setting': f'{args.image_size} px, B = {args.batch_size}, K = {args.negatives}, '
                          f'N = {args.num_instances}; median of {args.repeats} steps'}
    report(args.out, 'gpu_step', rows, setting)
    report(args.out, 'gpu_head', heads, setting)


if __name__ == '__main__':
    main()
