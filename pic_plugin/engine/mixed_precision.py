"""Mixed precision, as ``--amp`` asks for it, in a config."""
import torch
from mmengine.config import Config

_AMP = {'OptimWrapper': 'AmpOptimWrapper', 'WeightCorrectingOptimWrapper': 'AmpWeightCorrectingOptimWrapper'}


def use_amp(cfg: Config, dtype: str) -> None:
    """Have a config train in ``bf16``, ``fp16`` or, for ``auto``, the one that suits the GPU.

    Raises:
        ValueError: if torch sees no GPU.
    """
    if not torch.cuda.is_available():
        raise ValueError('--amp needs a GPU, and torch sees none')
    if dtype == 'auto':
        # mmcv's RoIAlign, which detectors have, knows float16 and no bfloat16
        suits = torch.cuda.get_device_capability() >= (8, 0) and cfg.get('default_scope') != 'mmdet'
        dtype = 'bf16' if suits else 'fp16'
    cfg.optim_wrapper.type = _AMP.get(cfg.optim_wrapper.type, cfg.optim_wrapper.type)
    if dtype == 'bf16':
        # it has float32's range: nothing to scale, and no step to wait for and skip
        cfg.optim_wrapper.update(dtype='bfloat16', loss_scale=dict(enabled=False))
    else:
        cfg.optim_wrapper.dtype = 'float16'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
