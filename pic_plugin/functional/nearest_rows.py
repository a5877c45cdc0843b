r"""The rows most similar to a row: the hardest classes of One-Million-Way, Smoothing Labels of Hardest Classes.

.. math:: H_-^i = \text{the } K \text{ classes } j \ne i \text{ of largest } \cos(w_i, w_j)

Exact, and never N x N in memory: rows are taken a chunk at a time, and of each chunk the best are kept.
"""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

_CHUNK_SIMILARITIES = 1 << 24  # of a CPU: 64 MB
_ACCELERATOR_SIMILARITIES = 1 << 27  # an accelerator wants few and large pieces


def nearest_rows(queries: Tensor, rows: Tensor, k: int, own: Optional[Tensor] = None,
                 active: Optional[Tensor] = None) -> tuple[Tensor, Tensor]:
    """The k rows most similar to each query by cosine.

    Equals ``(F.normalize(queries, dim=1) @ F.normalize(rows, dim=1).T).topk(k)``, where the similarity of a query to
    its own row, and to rows that are not active, is -inf.

    Args:
        queries: ``[Q, D]``, of any length.
        rows: ``[S, D]``, of any length.
        k: how many; more than there are is allowed.
        own: ``[Q]`` int64, each query's own row, -1 if it is not there; none is left out if None.
        active: ``[S]`` bool, the rows that count; None for all.

    Returns:
        tuple: similarities ``[Q, k]``, falling, and rows ``[Q, k]`` int64; -inf and -1 where there are fewer.
    """
    directions = F.normalize(queries, dim=1)
    similarity = directions.new_full((len(queries), k), -torch.inf)
    nearest = torch.full((len(queries), k), -1, dtype=torch.int64, device=queries.device)
    size = _CHUNK_SIMILARITIES if queries.device.type == 'cpu' else _ACCELERATOR_SIMILARITIES
    chunk_rows = max(k, size // max(1, len(queries)))
    for start in range(0, len(rows), chunk_rows):
        chunk = directions @ F.normalize(rows[start:start + chunk_rows], dim=1).T
        if active is not None:
            chunk.masked_fill_(~active[start:start + chunk_rows], -torch.inf)
        if own is not None:
            column = (own - start).clamp(0, chunk.shape[1] - 1)[:, None]
            there = (own >= start) & (own < start + chunk.shape[1])
            chunk.scatter_(1, column, chunk.gather(1, column).masked_fill_(there[:, None], -torch.inf))
        best, column = chunk.topk(min(k, chunk.shape[1]), dim=1)
        similarity, place = torch.cat([similarity, best], 1).topk(k, dim=1)
        nearest = torch.cat([nearest, column + start], 1).gather(1, place)
    return similarity, nearest.masked_fill_(similarity == -torch.inf, -1)
