"""The most similar rows, where rows and queries are shared out over the ranks."""
from typing import Optional

from torch import Tensor

from pic_plugin.functional.nearest_rows import nearest_rows

from .ranks import Ranks


def nearest_rows_of_all_ranks(queries: Tensor, rows: Tensor, values: Tensor, k: int, ranks: Ranks,
                              own: Optional[Tensor] = None,
                              active: Optional[Tensor] = None) -> tuple[Tensor, Tensor]:
    """Find the values of the k rows of all ranks that are most similar to each of *this rank's* queries.

    Every rank compares all ranks' queries with its own rows, and sends what it found to the rank that asked.

    Args:
        queries: ``[R, Q, D]``, all ranks' queries, the same on every rank.
        rows: ``[S_r, D]``, this rank's rows.
        values: ``[S_r]`` int64, what is wanted of each: its id, or its label.
        k: how many.
        ranks: the ranks.
        own: ``[R, Q]`` int64, which of this rank's rows is the query's own and does not count, -1 if none is.
        active: ``[S_r]`` bool, the rows that count; None for all.

    Returns:
        tuple: similarities ``[Q, k]``, falling, and values ``[Q, k]``; -inf and -1 where there are fewer rows.
        Collectives: two all-to-alls of ``[R, Q, k]``.
    """
    shape = (*queries.shape[:2], k)
    similarity, nearest = nearest_rows(queries.flatten(0, 1), rows, k, None if own is None else own.flatten(), active)
    found = values[nearest.clamp(min=0)].masked_fill_(nearest < 0, -1) if len(rows) else nearest
    similarity = ranks.all_to_all(similarity.view(shape)).transpose(0, 1).flatten(1)
    found = ranks.all_to_all(found.view(shape)).transpose(0, 1).flatten(1)
    similarity, place = similarity.topk(k, dim=1)
    return similarity, found.gather(1, place)
