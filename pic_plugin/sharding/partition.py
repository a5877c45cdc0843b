"""Which rank owns which rows."""
from typing import NamedTuple

from torch import Tensor


class Block(NamedTuple):
    """The rows ``start .. stop-1``."""
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def contains(self, ids: Tensor) -> Tensor:
        """``[M]`` bool: which of ``ids[M]`` lie in the block."""
        return (ids >= self.start) & (ids < self.stop)


def block_of(rank: int, num_rows: int, num_ranks: int) -> Block:
    """Rank ``rank``'s contiguous share of ``num_rows`` rows.

    ceil(N / R) rows each, the last ranks less: the rule of ``torch.distributed.tensor``'s ``Shard(0)``, which the
    checkpoints rely on.
    """
    share = -(-num_rows // num_ranks)
    return Block(min(rank * share, num_rows), min((rank + 1) * share, num_rows))
