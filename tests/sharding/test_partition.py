import torch
from hypothesis import given
from hypothesis import strategies as st

from pic_plugin.sharding import block_of


@given(st.integers(0, 200), st.integers(1, 20))
def test_blocks_cover_everything_once(num_rows, num_ranks):
    blocks = [block_of(rank, num_rows, num_ranks) for rank in range(num_ranks)]
    assert [i for block in blocks for i in range(block.start, block.stop)] == list(range(num_rows))
    assert sum(map(len, blocks)) == num_rows
    # the rule of DTensor's Shard(0), which is torch.chunk's
    chunks = torch.arange(num_rows).chunk(num_ranks) if num_rows else ()
    assert [len(block) for block in blocks][:len(chunks)] == [len(chunk) for chunk in chunks]


def test_contains():
    assert block_of(1, 10, 3).contains(torch.tensor([3, 4, 7, 8])).tolist() == [False, True, True, False]
