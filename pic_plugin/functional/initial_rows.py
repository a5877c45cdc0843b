"""What a row holds before its first visit: a function of (seed, row), so that it need not be stored."""
import torch
from torch import Tensor

from .hashing import uniform


def initial_rows(ids: Tensor, num_channels: int, std: float, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    r"""Rows of the classifier at initialisation, :math:`w_{i,d} \sim \mathcal N(0, \text{std}^2)`.

    The normal quantile function of a uniform number that is keyed by (seed, row, channel): the same bits whichever
    rows are asked for together.

    Args:
        ids: ``[R]`` int64, the rows.
        num_channels: D.
        std: standard deviation; 0.01 in PIC.
        seed: the run's seed.
        dtype: of the result.

    Returns:
        Tensor: ``[R, D]`` on the CPU.
    """
    channels = torch.arange(num_channels)
    return torch.special.ndtri(uniform(seed, ids[:, None], channels)).mul_(std).to(dtype)
